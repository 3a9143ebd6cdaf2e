"""The README's table of environment variables, made from `Settings`."""

from worker.settings import Settings


def table() -> str:
    """Markdown rows: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for field in Settings.model_fields.values():
        default = field.default
        shown = f"`{default}`" if isinstance(default, str | int | float) else ""
        rows.append(f"| `{field.alias}` | {shown} | {field.description} |")
    return "\n".join(rows)
