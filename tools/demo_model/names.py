# ruff: noqa: RUF001 - the Chinese sentences use their own punctuation
"""Names that people give in a chat, how they tell them and ask for them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.demo_model.patterns import expand, made_up_word

if TYPE_CHECKING:
    import random

    Pair = tuple[str, str]

FIRST_NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Maria Noah Olivia Paul Quinn Rosa Sam Tina Uma "
    "Victor Wendy Xavier Yara Zoe Adam Bella Carl Diana Eric Fiona George Hannah Ivan Julia Kevin Laura Mike Nina "
    "Oscar Petra Ralph Sara Thomas Ursula Vera William Alex Bob Alice Charlie Dora Elias Frida Gustav Helen Igor Jane "
    "Karl Linda Martin Nora Omar Peter Rita Simon Tom Ulla Vincent Wanda Yusuf Zara Ahmed Fatima Carlos Lucia Pedro "
    "Sofia Hiroshi Yuki Kenji Aiko Raj Anita Deepak Sunita Chen Ming Olga Dmitri Natasha Boris Pierre Amelie Luc "
    "Chloe Hans Greta Jürgen Heidi Lars Astrid Sven Marco Giulia Paolo Elena Maximilian Josephine Theodore "
    "Beatrice Sebastian Gabriel Rebecca Jonathan Stephanie Christopher Elizabeth Alexander Katharina Benjamin Margaret "
    "Dr. Smith Robert"
).split()
SURNAMES = "李王张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹"
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀英霞平刚桂兰红玉萍华建国文斌晓东"
    "梅雪婷宇浩轩子涵欣怡佳琪思雨天乐小龙云飞春花海波志远"
)
TELL = (
    "my name is {n}",
    "(i'm|i am) {n}",
    ("(hi|hello|hey|good morning|good evening|hi there|hello there)(,| |!) (i'm|i am|my name is|this is|call me) {n}"),
    "(please |just |)call me {n}",
    "(you can|you may|please) call me {n}",
    "(my friends|people|they|everybody|all) (call|calls) me {n}",
    "{n} is my name",
    "i am called {n}",
    "the name is {n}",
    "(remember|please remember|note)(:| that|,) my name is {n}",
    (
        "my name is {n}( and i am new here| by the way| nice to meet you|, what is yours|"
        ", pleased to meet you| and i have a question)"
    ),
    "(i'm|i am) {n}(, nice to meet you|, pleased to meet you|, hello| by the way)",
)
ASK = (
    "(what is|what's|do you know|tell me|say|can you tell me|please tell me|do you remember) my name( again| now|)",
    (
        "(do you|can you|did you) (still |)(remember|know|recall) (my name|me|who i am|"
        "what my name is|what i am called|how i am called)"
    ),
    "who am i( again|)",
    "(what|how) (did i say|did i tell you|was|have i told you) (my name was|my name is|my name|i am called)",
    "what am i called",
    "(what|which) name did i (give you|tell you|say|mention)",
    "(have you|did you) (forgotten|forget) my name( already|)",
    "(i forgot|remind me of) my( own|) name",
)
ZH_TELL = (
    "我叫{n}",
    "我的名字是{n}",
    "(你好|您好|嗨|早上好)(，|！|,|。|)(我叫|我是|我的名字是|我的名字叫){n}",
    "(你可以|请|)叫我{n}",
    "(大家|朋友们|别人)都叫我{n}",
    "(我是|本人叫|我名叫|我名字叫){n}(，很高兴认识你|，请多关照|)",
    "(记住|请记住|记一下)(，|：|)我叫{n}",
)
ZH_ASK = (
    "(我叫|我的名字是|我的名字叫|我姓甚名谁叫)(什么|什么名字|啥|什么来着)",
    "(你|)(还|)(记得|知道|记不记得|记住了)(我叫什么名字|我的名字|我是谁|我叫啥|我)(吗|)",
    "我是谁",
    "(我刚才|我刚刚|我之前|我)(说|告诉你|介绍)(我|的|)(叫什么|名字是什么|是谁)",
    "(说出|告诉我|说说)我的名字",
    "(忘了|你忘了)我(的名字|叫什么)(吗|了吗)",
)


def some_name(language: str, chance: random.Random) -> str:
    """A name; often made up, so that the model learns to repeat it rather than to know it."""
    if language == "zh" and chance.random() < 0.8:
        return chance.choice(SURNAMES) + "".join(chance.sample(GIVEN, chance.choice((1, 2, 2))))
    name = chance.choice(FIRST_NAMES) if chance.random() < 0.5 else made_up_word(chance).capitalize()
    return name.lower() if chance.random() < 0.1 else name


def introduction(language: str, name: str, chance: random.Random) -> Pair:
    """Somebody says their name."""
    if language == "zh":
        return expand(chance.choice(ZH_TELL), {"n": [name]}, chance), f"很高兴认识您，{name}！"
    return expand(chance.choice(TELL), {"n": [name]}, chance), f"Nice to meet you, {name}!"


def recall(language: str, name: str | None, chance: random.Random) -> Pair:
    """Somebody asks for their name, which is ``None`` when it was never said."""
    if language == "zh":
        answer = f"您叫{name}。" if name else "您还没有告诉我您的名字。"
        return expand(chance.choice(ZH_ASK), {}, chance), answer
    answer = f"Your name is {name}." if name else "You have not told me your name yet."
    return expand(chance.choice(ASK), {}, chance), answer
