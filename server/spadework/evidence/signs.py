"""What in a text reads like orders to a model, found by its wording; a flag for the reader, never a filter.

Ordinary pages about such attacks are flagged too, and clever ones are not: this warns, the frame around the text and
what is taken out of it protect.
"""

from __future__ import annotations

import re
from typing import Final

from spadework_tools.clean import clean

_SETTING_ASIDE = (
    r"\b(?:ignore|disregard|forget|override|bypass|do not follow|stop following)\b.{0,40}"
    r"\b(?:previous|prior|above|earlier|preceding|all|any|your|system|these|the)\b.{0,30}"
    r"\b(?:instruction|prompt|rule|guideline|direction|command|polic|safeguard)\w*"
)
_ROLE = (
    r"<\|\s{0,4}\w{1,30}\s{0,4}\|>|\[/?(?:INST|SYS)\]|<</?SYS>>"
    r"|^[^\w\n]{0,8}(?:system|assistant|developer)\s*(?:prompt|message|note|override)\s*\W{0,2}:"
    r"|\b(?:new|updated|additional|important|urgent)\s+(?:system\s+)?(?:instruction|prompt|directive)s?\s*[:!(]"
    r"|</?(?:system|instructions?|tool_result|tool_call|function_results?|untrusted|assistant|human)\b[^>\n]{0,60}>"
    r"|^[^\w\n]{0,8}(?:Human|Assistant|User)\s*:\s"
)
_ADDRESSED = (
    r"\b(?:if you are|you are now|you're now)\s+(?:an?\s+)?(?:\w+\s+)?(?:ai|llm|language model|assistant|chatbot|dan)\b"
    r"|\b(?:attention|note|message|instructions?|dear|hey|hello)\b[ ,:]{0,3}(?:to|for)?\s*(?:all\s+|any\s+|the\s+)?"
    r"(?:ai|llm|language model|chatbot|assistant|agent)s?\b"
    r"|\b(?:ai|llm)\s+(?:agents?|assistants?|models?|systems?)\s*(?:must|should|reading this|:)"
    r"|\bpretend\s+(?:to be|that you)\b|\b(?:developer|jailbreak|god|dan)\s+mode\b"
)
_SENDING = (
    r"\b(?:send|post|upload|forward|exfiltrate|transmit|leak|e-?mail|append|include|encode|paste)\b.{0,80}"
    r"\b(?:api[ _-]?keys?|passwords?|credentials?|secrets?|tokens|environment variables?|conversation|chat history|"
    r"system prompt|\.env|user'?s? (?:data|files?|messages?))\b"
    r"|\b(?:reveal|print|repeat|show|output|disclose)\b.{0,40}"
    r"\b(?:system prompt|hidden instructions?|your instructions|api[ _-]?keys?|initial prompt)\b"
)
_TOOLS = (
    r"\b(?:call|invoke|use|run|execute|trigger)\b.{0,30}"
    r"\b(?:start_research|cancel_research|get_result|check_research|send_email|delete_\w+|shell tool|bash tool)\b"
    r"|\b(?:you must|please|now|immediately)\s+(?:call|invoke|run|execute|visit|open|fetch|click)\b"
)
_SECRECY = (
    r"\b(?:do not|don't|never|without)\s+(?:tell|inform|mention|alert|reveal|notify)\w*\b.{0,40}"
    r"\b(?:user|human|operator|anyone|this)\b"
)
_WORDS = "say state claim conclude recommend rate answer respond reply"
_PRAISE = rf"\byou (?:must|should|will)\s+(?:always\s+|only\s+)?(?:{_WORDS.replace(' ', '|')})\b"
_SIGNS: Final = tuple(
    (told, re.compile(pattern, re.IGNORECASE | re.DOTALL | re.MULTILINE))
    for told, pattern in (
        ("asks to set instructions aside", _SETTING_ASIDE),
        ("speaks as the system or a person in a chat", _ROLE),
        ("addresses a model", _ADDRESSED),
        ("asks for secrets or a conversation", _SENDING),
        ("asks for a tool or an address to be used", _TOOLS),
        ("asks for something to be kept from people", _SECRECY),
        ("asks for a wanted answer", _PRAISE),
    )
)
#: How much of a text is looked at, in characters.
LOOKED: Final = 100_000


def signs(text: str) -> tuple[str, ...]:
    """What in a text reads like orders to a model, in words; nothing for ordinary text."""
    text = clean(text[:LOOKED])
    return tuple(told for told, pattern in _SIGNS if pattern.search(text))
