dependencies = ["torch", "timm"]

from mmdcls.timm import *  # noqa: E402, F403
