"""Where the files of a trial are kept: folders, buckets, and what is on its way."""
