"""The control page for Flask: ramps, kill switches and figures in a browser, for those who may.

``CacheCore.register_control`` puts it into an app; nothing is shown or changed by anybody unless a hook
says so. ``flask_ext.flask_admin`` shows the same inside of Flask-Admin.
"""
