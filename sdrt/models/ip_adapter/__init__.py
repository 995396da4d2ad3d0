"""IP-Adapter files: read, matched with the U-Net whose cross-attentions they extend, and laid beside its weights, in numpy alone."""

from sdrt.models.ip_adapter.extended import with_ip_adapters
from sdrt.models.ip_adapter.file import IPAdapterFile
from sdrt.models.ip_adapter.fit import check_adapter, check_encoder

__all__ = ["IPAdapterFile", "check_adapter", "check_encoder", "with_ip_adapters"]
