"""Hot paths of the metadata of a study: updates written one by one, or together.

`before` is reconstructed from the reports: the file is written for every update. Both sides write
as durably, so that they differ in batching alone.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_DISK = ("statements", "steps", "commits", "fsyncs", "opens")


@_hot_path(
    claim="metadata-batch",
    witnesses=(*_DISK, "instructions", "cpu", "wall", "claim"),
    slow_before=(1_000,),
    untimed=(100,),
    claim_at=1_000,
)
class WriteMetadata:
    """n updates of four names: a durable file for each, or one for a hundred.

    An update waits already when `after` begins, so that the last one waits for `flush`.
    """

    params = (100, 1_000)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        try:
            from optimizer.reference.records import MetadataFile as Plain
            from optimizer.stores.metadata import MetadataFile
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.folder = tempfile.TemporaryDirectory()
        self.files = [Path(self.folder.name) / name for name in ("slow.json", "fast.json")]
        self.slow = Plain(self.files[0])
        # Old age comes after the run: here the count alone decides what is written when.
        self.fast = MetadataFile(self.files[1], max_updates=100, max_age_s=100_000.0)
        rng = random.Random(n)
        names = ("trials", "best", "seconds", "state")
        self.updates = [(names[i % 4], rng.random()) for i in range(n)]

    def teardown(self, n: int) -> None:
        self.fast.close()
        self.folder.cleanup()

    def fresh(self, n: int) -> None:
        self.fast.flush()
        self.files[1].unlink(missing_ok=True)  # what `agree` reads was written by the call
        self.fast.set("trials", -1.0)

    def before(self, n: int) -> list[Any]:
        for name, value in self.updates:
            self.slow.set(name, value)
        return list(self.slow.all().items())

    def after(self, n: int) -> list[Any]:
        for name, value in self.updates:
            self.fast.set(name, value)
        self.fast.flush()
        return list(self.fast.all().items())

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same values, in the files too."""
        written = [json.loads(file.read_bytes()) for file in self.files]
        last = dict(self.updates)  # the later of two of a name
        return before == after == sorted(last.items()) and written == [last, last]
