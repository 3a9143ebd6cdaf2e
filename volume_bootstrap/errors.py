"""What can go wrong while a volume is filled.

::

    ProvisionError          the user can mend it; exit code 1
    ├── ProjectError        a project's YAML is missing or wrong
    ├── VolumeError         the volume cannot be written to
    ├── ToolError           a program that was started failed
    ├── DependencyError     packages do not resolve, install or import
    ├── SourceError         a source did not give a model's files
    ├── ModelError          a model's files are wrong, or no source gave them
    ├── StoreError          a bucket does not take objects, or does not give them
    ├── BundleError         a bundle cannot be made, is damaged, or is not for this machine
    ├── DamageError         files on the volume are not as they were provisioned
    ├── ApiError            RunPod's API refused, or did not answer
    ├── PodError            a pod cannot begin, or did not get the volume ready
    └── JobError            there is no such job, or it cannot be started, followed or stopped

Anything else is a defect of the provisioner; exit code 2.
"""


class ProvisionError(Exception):
    """The volume could not be filled; the message says what to do."""


class ProjectError(ProvisionError):
    """A project's description is missing or wrong."""


class ToolError(ProvisionError):
    """A program that the provisioner started failed; the message ends with its output."""


class DependencyError(ProvisionError):
    """The packages do not resolve, install or import."""


class SourceError(ProvisionError):
    """One source did not give a model's files."""


class ModelError(ProvisionError):
    """A model's files are wrong, or no source gave them."""


class StoreError(ProvisionError):
    """A bucket does not take objects, or does not give them."""


class BundleError(ProvisionError):
    """A bundle cannot be made, is damaged, or is not for this machine."""


class DamageError(ProvisionError):
    """Files on the volume are not as they were provisioned."""


class VolumeError(ProvisionError):
    """The volume cannot be written to."""


class ApiError(ProvisionError):
    """RunPod's API refused a call, or did not answer it."""


class PodError(ProvisionError):
    """A pod cannot begin, did not get the volume ready, or could not be ended."""


class JobError(ProvisionError):
    """There is no such job, or it cannot be started, followed or stopped."""
