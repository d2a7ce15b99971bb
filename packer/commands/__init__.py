"""The commands of ``packer``, one module each; ``packer.cli`` puts them together."""
