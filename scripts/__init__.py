"""What makes files of this repository from its code, and the demo's last step."""
