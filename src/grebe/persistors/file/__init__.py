"""The directory format: journal, partitions, manifest. See docs/file_format.md."""
