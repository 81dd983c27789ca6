"""Images as files, for those who want files: webdataset shards and image folders.

``shards`` and ``folders`` write, ``finalize`` checks and describes what was written. What is in a
shard depends on the categories, the rendering, the seed and the shard's number alone: any process
on any machine may write any shard, in any order, and stop at any time.

>>> import fdsl, fdsl.export, tempfile
>>> folder = tempfile.mkdtemp()
>>> small = fdsl.Frame(size=32)
>>> fdsl.export.folders(fdsl.Bezier(4), folder, instances=2, rendering=small).pictures
8
>>> fdsl.export.finalize(folder)["pictures"]
8
"""

from fdsl.export.check import finalize
from fdsl.export.write import Written, folders, shards

__all__ = ["Written", "finalize", "folders", "shards"]
