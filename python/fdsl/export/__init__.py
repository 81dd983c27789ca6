"""Images as files: webdataset shards, COCO's format and image folders.

``shards``, ``coco`` and ``folders`` write a data set, ``write_shard`` sends one shard to an open
file or pipe, and ``finalize`` checks and describes an export. The bytes of a shard depend on the
categories, the rendering, the seed and its number: any process on any machine may write any
shard, in any order, and stop at any time.

>>> import fdsl, fdsl.export, tempfile
>>> folder = tempfile.mkdtemp()
>>> small = fdsl.Frame(size=32)
>>> fdsl.export.folders(fdsl.Bezier(4), folder, instances=2, rendering=small).images
8
>>> fdsl.export.finalize(folder)["images"]
8
"""

from fdsl.export.check import finalize
from fdsl.export.write import Written, coco, folders, shards, write_shard

__all__ = ["Written", "coco", "finalize", "folders", "shards", "write_shard"]
