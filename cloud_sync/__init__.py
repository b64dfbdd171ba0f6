"""What leaves the gateway, and its other end."""
