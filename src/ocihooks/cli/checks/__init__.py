"""What ``ocihooks check`` looks for: the machine as the wrapper sees it, or single files, directories and bundles."""
