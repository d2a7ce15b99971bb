# ruff: noqa: RUF001 - the Chinese sentences use their own punctuation
"""Says a question in another way: other openings for the same request, other words for the same thing, a word before.

It is used on every topic alike, also on what is to be declined, so that no opening gives a topic away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tools.demo_model.patterns import expand

if TYPE_CHECKING:
    import random

SHARE_REPHRASED = 0.45
SHARE_OTHER_WORDS = 0.12
SHARE_PREAMBLE = 0.07

REPHRASE = (
    (
        re.compile(r"^how (?:do|can|should|would|could) (?:i|we|you) (?P<x>.+)$"),
        (
            "(what is|what's) the (best |easiest |right |proper |)way to {x}|is there (a|any|some) way to {x}",
            "(i want|i would like|i'd like|i need|i am trying|i'm trying|i was hoping|i plan|i wish) to {x}",
            "(i don't know|i have no idea|nobody told me|i can't figure out|i forgot|i wonder) how to {x}",
            "(show me|explain|tell me|any idea|describe|teach me|let me know|could you explain) how to {x}",
            "(what do i have to do|what must i do|what does it take|what are the steps|what do i need) to {x}",
            "(how to|how does one|how might i|how am i supposed to|how would somebody|help me) {x}",
            "(is it|would it be) possible to {x}|(could|can) i {x} (somehow|myself|easily)",
            "(i want|i'd like|i have) to {x}, (how|how do i do that|what now|what do i do|how does that work)",
            "do you know how (i can|to|one can|i could) {x}",
        ),
    ),
    (
        re.compile(r"^(?:can|could|may) i (?P<x>.+)$"),
        (
            "(is it|would it be) (possible|ok|fine|allowed|difficult) to {x}|am i (able|allowed|free) to {x}",
            "(i want|i'd like|i would like|i hope|i need) to {x}(, is that possible|, can i|, is that ok|, how|)",
            "(i wonder|tell me|i'd like to know|do you know|not sure) (if|whether) i (can|could|may) {x}",
            "is there (a|any|some) way to {x}|(will i be able|do i get|is there an option) to {x}",
            "(can|could|may) (we|one|people|somebody|my team|a user) {x}",
        ),
    ),
    (
        re.compile(r"^(?:does|will|can) (?P<s>it|this|the program|packer|the chat) (?P<x>.+)$"),
        (
            (
                "(i wonder|tell me|i'd like to know|do you know|not sure|is it known) "
                "(if|whether) {s} (will|can|would) {x}"
            ),
            "(would|could|might) {s} {x}|is {s} (able|going|supposed|meant) to {x}",
            "{s} (will|can|should) {x}, (right|won't it|or not|yes or no|correct)",
        ),
    ),
    (
        re.compile(r"^(?:what is|what's) (?P<x>(?:the|a|an|your|its) .+)$"),
        (
            "(tell me|i'd like to know|give me|i need|i'm looking for|i would like to know|name|say) {x}",
            "(can you tell me|i don't know|could you say|explain|i wonder|remind me|do you know) what {x} is",
            "{x}|and {x}|what would {x} be|what might {x} be",
        ),
    ),
    (
        re.compile(r"^why (?P<v>is|are) (?P<s>it|this|you|everything|the \w+) (?P<x>.+)$"),
        (
            "what (makes|is making|made) {s} {x}|{s} {v} {x}, (why|why is that|what is the reason|how come)",
            "(i wonder|do you know|tell me|i don't understand|please explain|any idea) why {s} {v} {x}",
            "how come {s} {v} {x}|what is the reason {s} {v} {x}",
        ),
    ),
    (
        re.compile(r"^where (?:do|can|could) i (?P<x>.+)$"),
        (
            "where (should|would|does one|might|must) i {x}|(i can't find|show me|tell me|i don't see) where to {x}",
            "(is there a|which is the|what is the) (place|page|menu|spot|setting) to {x}",
            "i (want|need|would like) to {x}, (where|where is that|in which place|where do i do that)",
        ),
    ),
)
ZH_REPHRASE = (
    (
        re.compile(r"^(?:怎么|如何|怎样|咋)(?P<x>.+)$"),
        (
            "(怎样才能|要怎么|该怎么|我该怎么|应该怎么|到底怎么|究竟如何|请教怎么|有没有办法|有什么办法|有什么方法可以){x}",
            "(我想|我要|我需要|我打算|想|想要){x}，(怎么做|要怎么做|怎么办|该怎么操作|如何操作|怎么弄|有办法吗|可以吗)",
            "(不知道|不清楚|忘了|不会|没弄明白)(怎么|如何|怎样){x}|要{x}(需要|得|应该)(做什么|怎么做|怎么弄)",
            "(能|可以|能不能)(告诉我|教我|说说|讲讲)(怎么|如何|怎样){x}(吗|)|{x}(要怎么做|怎么弄|的方法是什么|的步骤是什么)",
        ),
    ),
    (
        re.compile(r"^(?P<x>.+)吗$"),
        (
            "(是不是|请问是不是|不知道是否|我想知道是否){x}|{x}(么|不|吧|对吗|是吗|还是不行|行不行|，是这样吗)",
            "(我想问|想问一下|请问|想确认一下){x}(吗|么)",
        ),
    ),
    (
        re.compile(r"^为什么(?P<x>.+)$"),
        (
            "(为啥|怎么会|为何|怎么|是什么原因导致|什么原因让){x}|{x}(是为什么|是怎么回事|，为什么|是什么原因|，怎么回事)",
        ),
    ),
)
PREAMBLES = (
    "(i just|i have just|my friend|my brother|a colleague) (downloaded this|started this|got this file|sent me this)",
    "i (am|work as) (a nurse|a teacher|a student|a developer|an accountant|new here|not an expert|a beginner|a lawyer)",
    "(i have|here is|one more|just one|a small|another) (a question|question|quick question)",
    "(this|that|it) (is|looks|seems) (nice|interesting|great|new to me|useful)",
    "(hello|hi|hey|good morning|good evening|hello there)|(ok|okay|right|good|great|fine|thanks|thank you|i see)",
    "(i am|i'm) (in a hurry|curious|a bit lost|confused|stuck|on a laptop|at work|testing this|reading the page)",
    "(my boss|my wife|my teacher|a friend|somebody) (asked me something|wants to know|needs this|told me about it)",
)
ZH_PREAMBLES = (
    "(我|我们|我朋友|同事)(刚下载|刚开始用|第一次用|刚打开)(这个|它|)",
    "(你好|您好|嗨|早上好|好的|谢谢|嗯|明白了)|我是(新手|老师|学生|医生|程序员|外行|初学者)",
    "(有个问题|再问一个|还有一个问题|想请教一下|有点疑问|问个事)|(我有点|)(着急|好奇|糊涂|不明白)",
    "(老板|朋友|同学|家人)(让我问|想知道|问我)",
)
OTHER_WORDS = {
    "change": "modify|alter|adjust|switch|edit",
    "computer": "pc|laptop|machine|desktop|notebook",
    "machine": "computer|pc|laptop|box",
    "program": "tool|software|app|thing|application",
    "browser": "firefox|chrome|web browser|chromium",
    "answers": "replies|responses|results",
    "answer": "reply|response",
    "replies": "answers|responses",
    "chats": "conversations|dialogues|discussions",
    "chat": "conversation|dialogue|talk",
    "friend": "sister|neighbour|coworker|buddy|customer|cousin",
    "colleague": "coworker|teammate|boss|assistant|student",
    "model": "llm|language model|ai model|neural net",
    "use": "utilize|employ|work with",
    "see": "view|look at|check|read",
    "run": "start|launch|execute",
    "need": "require|want",
    "show": "display|give",
    "big": "large|huge|long",
    "make": "create|produce",
    "command": "instruction|shell command|line",
    "terminal": "console|shell|command line",
    "folder": "directory|place|path",
    "options": "flags|parameters|switches",
    "cook": "prepare|make|fry",
    "write": "compose|make|produce",
    "repair": "fix|mend",
    "learn": "study|practise|master",
    "thanks": "thx|cheers|thank you",
}
ZH_OTHER_WORDS = {
    "电脑": "计算机|笔记本|机器|台式机",
    "程序": "软件|应用|工具|东西",
    "怎么": "怎样|如何|咋",
    "聊天记录": "对话记录|聊天历史|谈话记录",
    "修改": "更改|调整|改动|改",
    "什么": "啥",
    "可以": "能|能够|可不可以",
    "回答": "回复|答复|应答",
    "模型": "大模型|语言模型|AI模型",
    "朋友": "同学|亲戚|室友|客户",
    "命令": "指令",
    "查看": "看到|看看|浏览",
    "吗": "么|嘛",
    "为什么": "为啥|为何",
    "帮我": "替我|给我|帮忙",
}
WORD = re.compile(r"[a-z]+")
ZH_WORD = re.compile("|".join(sorted(ZH_OTHER_WORDS, key=len, reverse=True)))


def rephrased(text: str, language: str, chance: random.Random) -> str:
    """``text``, a question in lower case without an end mark, perhaps said in another way."""
    if chance.random() < SHARE_REPHRASED:
        text = _other_opening(text, ZH_REPHRASE if language == "zh" else REPHRASE, chance)
    text = _other_words(text, language, chance)
    if chance.random() >= SHARE_PREAMBLE:
        return text
    if language == "zh":
        return expand(f"({chance.choice(ZH_PREAMBLES)})", {}, chance) + chance.choice(("，", "。", "！")) + text
    return expand(f"({chance.choice(PREAMBLES)})", {}, chance) + chance.choice((". ", ", ", "! ", " - ")) + text


def _other_opening(text: str, rules: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...], chance: random.Random) -> str:
    for pattern, forms in rules:
        if found := pattern.match(text):
            parts = {name: [part] for name, part in found.groupdict().items()}
            return expand(f"({chance.choice(forms)})", parts, chance)
    return text


def _other_words(text: str, language: str, chance: random.Random) -> str:
    words, word = (ZH_OTHER_WORDS, ZH_WORD) if language == "zh" else (OTHER_WORDS, WORD)

    def other(found: re.Match[str]) -> str:
        if found[0] in words and chance.random() < SHARE_OTHER_WORDS:
            return chance.choice(words[found[0]].split("|"))
        return found[0]

    return word.sub(other, text)
