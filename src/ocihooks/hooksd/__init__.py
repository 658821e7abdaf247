"""Rule files: oci-hooks(5) schemas, conditions, patterns, directories, manager and monitor."""
