"""Makes the tables and the users of the shop: ``python -m tests.browser.shop.prepare``."""

from __future__ import annotations

import django
from django.core.management import call_command

django.setup()

from django.contrib.auth.models import Permission, User  # noqa: E402

PASSWORD = "only for tests"
call_command("migrate", verbosity=0)
User.objects.create_superuser("boss", password=PASSWORD, first_name="Ann")
viewer = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
viewer.user_permissions.set(Permission.objects.filter(codename="view_usecaseoverride"))
