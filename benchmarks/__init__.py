"""Our speed beside other libraries', side by side in one run; not imported by anything."""
