"""IO managers: how an asset's products are committed and handed to the next one."""

from astrid_resources.io_managers.products import ProductsIOManager

__all__ = ["ProductsIOManager"]
