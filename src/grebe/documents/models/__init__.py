"""Models: from a document's JSON to the user's type and back.

adapter.py is the contract; there is one module for each library that does the work, and it is
imported when a model of its kind is first used. choosing.py picks the adapter.
"""

from grebe.documents.models.adapter import UNREAD, Adapter
from grebe.documents.models.choosing import adapter_for
from grebe.documents.models.plain import PLAIN, PlainAdapter

__all__ = ["PLAIN", "UNREAD", "Adapter", "PlainAdapter", "adapter_for"]
