"""Turn a checkpoint in any known layout into one of ours, or back; the same as `mmdcls convert`."""

from mmdcls.checkpoint.convert import main

if __name__ == "__main__":
    raise SystemExit(main())
