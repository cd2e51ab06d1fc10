"""The data: paths, values as JSON bytes, the tree, operations. No input or output, no clock."""
