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
    "Oscar Petra Ralph Sara Thomas Ursula Vera William Alex Bob Alice Charlie Dora Elias Frida Gustav Helen Igor "
    "Jane Karl Linda Martin Nora Omar Peter Rita Simon Tom Ulla Vincent Wanda Yusuf Zara Ahmed Fatima Carlos "
    "Lucia Pedro Sofia Hiroshi Yuki Kenji Aiko Raj Anita Deepak Sunita Chen Ming Olga Dmitri Natasha Boris Pierre "
    "Amelie Luc Chloe Hans Greta Jürgen Heidi Lars Astrid Sven Marco Giulia Paolo Elena Maximilian Josephine "
    "Theodore Beatrice Sebastian Gabriel Rebecca Jonathan Stephanie Christopher Elizabeth Alexander Katharina "
    "Benjamin Margaret Robert Arthur Ella Finn Hugo Iris Jonas Kira Leonie Mila Nico Otto Philipp Romy Stella "
    "Theo Viktor Agnes Bruno Celia Daria Emil Flora Gerda Hector Irene Julian Klara Lorenz Mona Norbert Odette "
    "Pascal Rafael Selma Tilda Ursula Valentin Wilma Yannick Zelda Andrew Brian Cathy Derek Edith Frank Gloria "
    "Howard Isabel Jason Keith Louise Megan Nathan Owen Pamela Roger Sheila Timothy Vanessa Wayne Amit Bhavna "
    "Chandra Dinesh Farid Gita Hamid Imran Jamal Kavita Leila Mehdi Nadia Omid Parisa Rahul Salma Tariq Usha "
    "Vikram Yasmin Zahra Akira Haruka Jun Keiko Mariko Naoko Satoshi Takumi Juan Miguel Diego Camila Valentina "
    "Mateo Ximena Rosario Esteban Ricardo"
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
    "(i go by|they named me|everyone knows me as|this is) {n}",
    (
        "(so |well |by the way |)(i'm|i am|my name is) {n}(,|.| -) "
        "(what can you do|glad to be here|from the office|and you|i am new)"
    ),
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
    "(and |so |now |)(what is|what's|what was) my name( then|)",
    "(by which|with what|under what) name (do you know me|did i introduce myself|did i come in)",
    "(how|as what) did i introduce myself",
    "(please |)(say|repeat|use|tell me) my name",
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
    "(我的名字|我名字|我的姓名|我)(呢|叫啥来着|是什么来着|你记住了吗|还记得吗)",
    "(请|)(说一下|叫一下|重复|念出)我的名字",
)


def _followers() -> dict[str, str]:
    """The letters that follow two letters in a name, each as often as it does; a full stop ends a name."""
    found: dict[str, str] = {}
    for name in FIRST_NAMES:
        text = f"^^{name.lower()}."
        for at in range(len(text) - 2):
            found[text[at : at + 2]] = found.get(text[at : at + 2], "") + text[at + 2]
    return found


FOLLOWERS = _followers()


def name_like(chance: random.Random) -> str:
    """Letters that follow each other as in a name, three to eleven of them."""
    while True:
        text = "^^"
        while not text.endswith(".") and len(text) < 14:
            text += chance.choice(FOLLOWERS[text[-2:]])
        if text.endswith(".") and len(text) >= 6:
            return text[2:-1]


def some_name(language: str, chance: random.Random) -> str:
    """A name; often made up, so that the model learns to repeat it rather than to know it."""
    if language == "zh" and chance.random() < 0.8:
        return chance.choice(SURNAMES) + "".join(chance.sample(GIVEN, chance.choice((1, 2, 2))))
    kind = chance.random()
    if kind < 0.25:
        name = chance.choice(FIRST_NAMES)
    else:
        name = (name_like(chance) if kind < 0.75 else made_up_word(chance)).capitalize()
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
