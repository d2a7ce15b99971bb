# ruff: noqa: RUF001 - the Chinese sentences use their own punctuation
"""Small skills: sums, counting, days, months, spelling and remembering a name; each gives a question and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.demo_model.patterns import expand, made_up_word

if TYPE_CHECKING:
    import random

    Pair = tuple[str, str]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ZH_DIGITS = "零一二三四五六七八九十"
ZH_DAYS = ["星期" + day for day in "一二三四五六日"]
ZH_NUMBERS = [*ZH_DIGITS, "十一", "十二", *("十" + digit for digit in "三四五六七八九"), "二十"]
ZH_MONTHS = [number + "月" for number in ZH_NUMBERS[1:13]]
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
THINGS = (
    "apples|books|coins|cats|eggs|pens|cards|cookies|balls|flowers|stones|euros|dollars|candles|shoes|pears|birds|cups"
).split("|")
ZH_THINGS = "个苹果|本书|块钱|只猫|个鸡蛋|支笔|张卡片|块饼干|个球|朵花|颗糖|个橘子".split("|")
ASK = (
    "(what is|what's|how much is|calculate|compute|tell me|can you add up|what does|can you do|figure out|"
    "solve|give me|what do you get for|do|please compute|let me see|the answer to|try|how about|)( |: )"
)
OPERATIONS = {
    "+": ("(+|plus|and|added to)", "(加|加上|+|和)"),
    "-": ("(-|minus|take away|less)", "(减|减去|-)"),
    "*": ("(*|times|x|multiplied by)", "(乘|乘以|*|乘上)"),
    "/": ("(/|divided by|over)", "(除以|/)"),
}


def _operands(chance: random.Random) -> tuple[str, int, int, int]:
    operation = chance.choice("+++---**/")
    if operation == "*":
        a, b = chance.randint(0, 10), chance.randint(0, 10)
        return operation, a, b, a * b
    if operation == "/":
        b, result = chance.randint(1, 10), chance.randint(0, 10)
        return operation, b * result, b, result
    a, b = chance.randint(0, 20), chance.randint(0, 20)
    if operation == "-" and a < b and chance.random() < 0.8:
        a, b = b, a
    return operation, a, b, a + b if operation == "+" else a - b


def arithmetic(language: str, chance: random.Random) -> Pair:
    """A sum with operands up to 20, a product up to 10 times 10, or a division without rest."""
    if chance.random() < 0.15:
        return _word_problem(language, chance)
    operation, a, b, result = _operands(chance)
    en, zh = OPERATIONS[operation]
    first, second = str(a), str(b)
    if language == "zh":
        if max(a, b) <= 20 and chance.random() < 0.3:
            first, second = ZH_NUMBERS[a], ZH_NUMBERS[b]
        pattern = (
            f"(请问|算一下|计算|算算|帮忙算|算个数，|帮我算|你来算|口算一下|我想知道|那么|){first}{zh}{second}(等于几|等于多少|"
            "是多少|是几|得多少|得几|=?|=|等于|呢|结果是多少|答案是什么|一共是多少|)"
        )
        return expand(pattern, {}, chance), f"{a} {operation} {b} = {result}。"
    if max(a, b) <= 20 and chance.random() < 0.3:
        first, second = NUMBERS[a], NUMBERS[b]
    gap = "" if chance.random() < 0.2 else " "
    tight = f"{a}{gap}{operation}{gap}{b}"
    pattern = (
        tight + "( =|=|)"
        if chance.random() < 0.3
        else f"{ASK}{first} {en} {second}( equal to| make| in total| for me| please| give|)"
    )
    if chance.random() < 0.2:
        pattern = ASK + tight
    return expand(pattern, {}, chance), f"{a} {operation} {b} = {result}."


def _word_problem(language: str, chance: random.Random) -> Pair:
    a, b = chance.randint(1, 15), chance.randint(1, 10)
    more = chance.random() < 0.5 or b > a
    sign, result = ("+", a + b) if more else ("-", a - b)
    if language == "zh":
        thing = chance.choice(ZH_THINGS)
        change = "(又买了|又得到|再加上|再拿|又来了)" if more else "(吃掉|给了别人|丢了|拿走|卖了)"
        text = (
            f"(小明|我|妈妈|他|桌上)(有|一共有){a}{thing}，{change}(了|){b}{thing[0]}，"
            f"(还有几{thing[0]}|现在有几{thing[0]}|一共多少|现在有多少{thing})"
        )
        return expand(text, {}, chance), f"{a} {sign} {b} = {result}。"
    thing = chance.choice(THINGS)
    change = (
        "(find|buy|receive|am given|add|collect|see|bring|pick)"
        if more
        else "(lose|eat|sell|give away|break|drop|throw away|lend)"
    )
    start = "(if |suppose |say |)(tom|she|anna|my friend|a boy|he|i|we|you|they) (has|have|had|got|own|owns)"
    text = (
        f"{start} {a} {thing}( in a box| at home|)( and| and then| then|, and|. then i|. i) {change} {b}"
        f"( more| of them|)(,|.| -) (how many( {thing}|) (are there now|are left|remain|do i have|in total|are there|"
        "does that make|now|altogether|do we have|is it)|what is the total|what do i have now)"
    )
    return expand(text, {}, chance), f"{a} {sign} {b} = {result}."


def counting(language: str, chance: random.Random) -> Pair:
    """Counting up from one or another number, or down; never past 20."""
    first, last = 1, chance.randint(2, 20)
    if chance.random() < 0.3:
        first, last = sorted(chance.sample(range(1, 21), 2))
    down = chance.random() < 0.2
    numbers = list(range(first, last + 1))
    numbers = numbers[::-1] if down else numbers
    start, end = numbers[0], numbers[-1]
    words = ZH_NUMBERS if language == "zh" else NUMBERS
    a, b = (words[start], words[end]) if chance.random() < 0.4 else (str(start), str(end))
    if language == "zh":
        pattern = (
            f"(请|你能|帮我|能不能|给我|麻烦|)从{a}(数到|倒数到|开始数到|往{'下' if down else '上'}数到){b}"
            "(吧|好吗|可以吗|)"
            if first > 1 or down or chance.random() < 0.7
            else f"(请|你会|)数(到|数到){b}"
        )
        return expand(pattern, {}, chance), ", ".join(map(str, numbers)) + "。"
    verb = (
        "(count|please count|can you count|list the numbers|say the numbers|count for me|i want you to count|"
        "could you count|do count|let us count|give me the numbers|start counting|name the numbers)"
    )
    pattern = (
        f"{verb} {'(down |backwards |)' if down else '(up |)'}from {a} to {b}"
        if first > 1 or down or chance.random() < 0.4
        else f"{verb}( up|) (to|till|until) {b}( aloud| slowly|)"
    )
    return expand(pattern, {}, chance), ", ".join(map(str, numbers)) + "."


def _neighbour(names: list[str], word: str, language: str, chance: random.Random) -> Pair:
    index, step = chance.randrange(len(names)), chance.choice((1, 1, -1))
    name, other = names[index], names[(index + step) % len(names)]
    if language == "zh":
        question = _neighbour_zh(name, word, chance, after=step > 0)
        return question, f"{name}{'后面' if step > 0 else '前面'}是{other}。"
    question = _neighbour_en(name.lower(), word, chance, after=step > 0)
    return question, f"{other} comes {'after' if step > 0 else 'before'} {name}."


def _neighbour_zh(name: str, word: str, chance: random.Random, *, after: bool) -> str:
    side = "(后面|之后|的后面|后|的下一个|完了|的后一天)" if after else "(前面|之前|的前面|前|的上一个)"
    if word == "month":
        side = side.replace("的后一天", "过了").replace("完了", "的下个月")
    ask = (
        "(星期几|周几|哪一天|礼拜几|什么|哪天|哪一个)"
        if word == "day"
        else "(几月|什么月|哪一个月|哪月|几月份|什么月份|哪个月份)"
    )
    asked = name.replace("星期", chance.choice(("星期", "星期", "周", "礼拜"))) if word == "day" else name
    return expand(f"{asked}{side}(是|就是|应该是|){ask}", {}, chance)


def _neighbour_en(name: str, word: str, chance: random.Random, *, after: bool) -> str:
    if after:
        near, then = "after", "(next|tomorrow|then|after that)"
        side = "(after|following|that comes after|right after|next after|that is one after)"
        verb = "(comes after|follows|is after|is next after|is the one after)"
    else:
        near, then = "before", "(before|yesterday|the one before)"
        side = "(before|preceding|that comes before|just before)"
        verb = "(comes before|precedes|is before|is the one before)"
    pattern = chance.choice(
        (
            f"(what|which) {word} {verb} {name}",
            f"(what is|tell me|name|what's|give me) the {word} {side} {name}",
            f"(what|which) (is|{word} is it|{word} do we have) {near} {name}",
            f"if (today|it|this {word}) is {name}, what (was|is|will be|comes) {then}",
            f"(name|say|give me|do you know|i need|i forgot|what about) the {word} {side} {name}",
            f"(and |so |now |)(what|which one) {verb} {name}",
            f"{name} is (over|here|now), (what|which {word}) {then}"
            if after
            else f"which {word} (was|is) it {side} {name}",
        )
    )
    if word == "month":
        pattern = pattern.replace("tomorrow", "next month").replace("yesterday", "last month").replace("today", "now")
    return expand(pattern, {}, chance)


def days(language: str, chance: random.Random) -> Pair:
    """The day before or after one, or all days of the week."""
    if chance.random() < 0.75:
        return _neighbour(ZH_DAYS if language == "zh" else DAYS, "day", language, chance)
    if language == "zh":
        pattern = (
            "(一周|一星期|一个星期|一个礼拜)(有哪几天|有几天|有哪些天|是哪七天)|(列出|说出|"
            "告诉我|说说)(一周|一星期)的(每一天|七天|所有日子)"
        )
        return expand(f"({pattern})", {}, chance), "一周有七天：" + "、".join(ZH_DAYS) + "。"
    pattern = (
        "(list|name|tell me|what are|say|give me|recite|write down) (all |)(the |)(seven |"
        ")(days of the week|weekdays|days in a week)"
    )
    if chance.random() < 0.4:
        pattern = "how many days (are there in|does|are in|has) (a|one|the) week( have|)"
    return expand(pattern, {}, chance), "The seven days are " + ", ".join(DAYS) + "."


def months(language: str, chance: random.Random) -> Pair:
    """The month before or after one, its length, or all twelve."""
    kind = chance.random()
    if kind < 0.55:
        return _neighbour(ZH_MONTHS if language == "zh" else MONTHS, "month", language, chance)
    index = chance.randrange(12)
    zh_month, month, length = ZH_MONTHS[index], MONTHS[index], MONTH_LENGTHS[index]
    if kind < 0.75:
        if language == "zh":
            return expand(f"{zh_month}(份|)(有多少天|有几天|是多少天|几天)", {}, chance), f"{zh_month}有 {length} 天。"
        pattern = (
            f"how (many days|long) (does {month.lower()} have|are in {month.lower()}|are there in {month.lower()}|"
            f"is {month.lower()}|has {month.lower()})"
        )
        return expand(pattern, {}, chance), f"{month} has {length} days."
    if language == "zh":
        pattern = (
            "((一年|一年里|一年中)(有哪些月份|有几个月|有哪几个月|有哪十二个月)|(列出|说出|"
            "告诉我|说说)(所有|全部|十二个)(月份|的月份))"
        )
        return expand(pattern, {}, chance), "一年有十二个月：" + "、".join(ZH_MONTHS) + "。"
    pattern = (
        "(list|name|tell me|what are|say|recite|write down|show me|can you list|give me|please list|i want|"
        "do you know|enumerate) (all |)(the |)(twelve |12 |)(months|months of the year|months in a year|"
        "names of the months|month names)( in order| please| one by one|)"
    )
    if chance.random() < 0.3:
        pattern = "how many months (are there in|does|are in|has) (a|one|the) year( have|)"
    return expand(pattern, {}, chance), "The twelve months are " + ", ".join(MONTHS) + "."


def spelling(language: str, chance: random.Random, words: list[str]) -> Pair:
    """A word, letter by letter."""
    word = made_up_word(chance) if chance.random() < 0.25 else chance.choice(words)
    quote = chance.choice(("", "", "'", '"'))
    shown = f"{quote}{word}{quote}"
    if language == "zh":
        pattern = (
            "(请|怎么|如何|帮我|请你|)(拼写|拼|拼出|逐个字母拼出)(单词|这个词|英文单词|)( |"
            f"){shown}|{shown}(怎么拼|怎么拼写|如何拼写|的拼写是什么)"
        )
        return expand(f"({pattern})", {}, chance), "-".join(word)
    pattern = (
        "(spell|please spell|can you spell|how do you spell|how is|spell for me|how do i spell|"
        "tell me how to spell|what are the letters of|i want you to spell|would you spell|show me the spelling of|"
        "what is the spelling of|spell out|please spell out|the letters of|how would you spell|give me the letters of|"
        f"i need the spelling of) (the word |the name |the term |word |){shown}( spelled| please| letter by letter|"
        " for me| one letter at a time| slowly|)"
    )
    return expand(pattern, {}, chance), "-".join(word)


def repeating(language: str, chance: random.Random, words: list[str]) -> Pair:
    """A word or two, said again; ``words`` are known ones."""
    text = " ".join(
        made_up_word(chance) if chance.random() < 0.5 else chance.choice(words) for _ in range(chance.choice((1, 2, 3)))
    )
    if language == "zh":
        return expand(f"(请|)(重复|跟我说|跟我读|复述|重复一遍)(：|:|一下：|){text}", {}, chance), text
    return expand(
        f"(please |can you |)(repeat|say|echo|repeat after me|say after me)(:| the word:|) {text}", {}, chance
    ), text
