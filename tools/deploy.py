"""Write a trained model as torch.export, as ONNX and as a plain config: `mmdcls deploy`."""

from mmdcls.deploy.command import main

if __name__ == "__main__":
    main()
