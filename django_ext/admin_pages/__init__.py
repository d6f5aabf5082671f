"""The pages behind ``django_ext.admin``; imported only where the admin is."""
