"""What the control pages of Django and Flask show, and what is read from their forms.

The adapters have the templates, who may see and change what, and the words in other languages. What
stands in a row, what a form may say and what an action does is the same in both, and stands here.
"""
