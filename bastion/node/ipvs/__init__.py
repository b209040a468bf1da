"""Services as virtual servers of the kernel's IPVS.  Upstream retires this mode."""
