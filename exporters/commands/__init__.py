"""What `lpc-export` asks and says."""
