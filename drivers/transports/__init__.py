"""The only code that touches hardware. A transport brings frames and says how it is doing."""
