//! From the kernel's raw figures to readings.
