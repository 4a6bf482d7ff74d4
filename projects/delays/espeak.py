"""espeak-ng, through its C library."""

import ctypes
from pathlib import Path

import numpy as np

# Of speak_lib.h.
SYNCHRONOUS, CHARACTERS, UTF8, RATE, PITCH = 2, 1, 1, 1, 3
Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """The one speaker of this process. folder: with the library and espeak-ng-data.

    rate: samples a second.
    """

    def __init__(self, folder: Path) -> None:
        self.library = ctypes.CDLL(str(next(folder.glob("libespeak-ng*"))))
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, str(folder).encode(), 0)
        if self.rate <= 0:
            raise SystemExit(f"espeak-ng does not start with the data in {folder}")
        self.heard: list[np.ndarray] = []
        # The library keeps no reference.
        self.callback = Callback(self.hear)
        self.library.espeak_SetSynthCallback(self.callback)

    def hear(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self.heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, rate: int, pitch: int) -> np.ndarray:
        """int16. rate: words a minute; pitch: 0 to 100. Exits where there is no such voice."""
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise SystemExit(f"espeak-ng has no voice {voice}")
        self.library.espeak_SetParameter(RATE, rate, 0)
        self.library.espeak_SetParameter(PITCH, pitch, 0)
        self.heard = []
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, len(data), 0, CHARACTERS, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate([np.zeros(0, np.int16), *self.heard])
