"""What people see: statistics and logs."""

from __future__ import annotations
