# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Patterns in the words of PCRE (pcre2pattern(3)), judged by the library itself if the controller has it.

Python's own expressions are others: \\h, \\K and \\p{L} are none of them. Without the library, Postfix judges on the
host, before anything is changed there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import re
import warnings

from ansible_collections.postamt.mail.plugins.plugin_utils._model.value_types import Refused

_CASELESS, _DOTALL = 0x8, 0x20  # as pcre_table(5) has them
_CAPTURECOUNT = 4


@functools.cache
def _library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("pcre2-8")
    if not name:
        return None
    found = ctypes.CDLL(name)
    found.pcre2_compile_8.restype = ctypes.c_void_p
    found.pcre2_pattern_info_8.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p]
    found.pcre2_code_free_8.argtypes = [ctypes.c_void_p]
    return found


def groups_of(pattern: str) -> int | None:
    """Return how many pairs of parentheses a pattern has for $1 and so on; None if this controller cannot tell.

    Raises Refused with the library's own words.
    """
    library = _library()
    if library is None:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what Python may mean by it one day
                return re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError):
            return None
    text = pattern.encode()
    error, place = ctypes.c_int(), ctypes.c_size_t()
    code = library.pcre2_compile_8(
        text, ctypes.c_size_t(len(text)), _CASELESS | _DOTALL, ctypes.byref(error), ctypes.byref(place), None
    )
    if not code:
        words = ctypes.create_string_buffer(256)
        library.pcre2_get_error_message_8(error, words, ctypes.c_size_t(len(words)))
        raise Refused(f"must be a regular expression of PCRE: {words.value.decode()} at offset {place.value}")
    try:
        count = ctypes.c_uint32()
        library.pcre2_pattern_info_8(code, _CAPTURECOUNT, ctypes.byref(count))
        return count.value
    finally:
        library.pcre2_code_free_8(code)
