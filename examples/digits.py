from mmdcls import dcls  # isort: skip  # before torch: it tells threads not to spin
import torch
from sklearn.datasets import load_digits
from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential

from mmdcls.dcls.drawing import draw_positions  # for the picture alone: needs matplotlib

images, labels = map(torch.from_numpy, load_digits(return_X_y=True))
images = images.float().reshape(-1, 1, 8, 8) / 8 - 1
layers, steps = [Conv2d(1, 32, 1)], 400
for _ in range(2):
    conv = dcls.Dcls2d(32, 32, 7, padding=3, groups=32, kernel_count=5, interpolation="gaussian")
    layers += [conv, BatchNorm2d(32), Conv2d(32, 32, 1), ReLU()]
model = Sequential(*layers, AdaptiveAvgPool2d(1), Flatten(), Linear(32, 10))
start, falling = dcls.start_positions(model), [1 - step / steps for step in range(steps)]
groups = dcls.parameter_groups(model, 0.01, weight_decay=0.05, position_travel=3, schedule=falling)
optimizer = torch.optim.AdamW(groups)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
for step in range(steps):
    dcls.anneal_width_(model, progress=step / steps, from_width=1.5, to_width=0.4)
    batch = torch.randint(1400, (64,))
    loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    (loss + dcls.repulsion_loss(model)).backward()
    optimizer.step()
    scheduler.step()
    dcls.clamp_model_(model)
print(dcls.figures_table(dcls.position_figures(model, start)))
print(f"held out: {(model.eval()(images).argmax(1) == labels)[1400:].float().mean():.1%} right")
draw_positions(model, "positions.png", start)
