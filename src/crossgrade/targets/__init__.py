"""What can execute, or stand in for execution. The plug-in seam: protocol and registry."""
