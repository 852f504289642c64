"""A small evaluator of alarms: CloudWatch's metric math, as far as the templates
use it, over one period, and the rule of a composite alarm.

A function that it does not know is an error, never a guess.
"""
import operator
import re

COMPARE = {"LessThanThreshold": operator.lt, "LessThanOrEqualToThreshold": operator.le,
           "GreaterThanThreshold": operator.gt, "GreaterThanOrEqualToThreshold": operator.ge}


class Missing(Exception):
    """The metric has no data point, and nothing fills it."""


class _Series:
    """A metric's value in this period; arithmetic on a missing one is missing."""

    def __init__(self, value):
        self.value = value

    def _with(self, other, op):
        if self.value is None or (isinstance(other, _Series) and other.value is None):
            raise Missing
        return op(self.value, other.value if isinstance(other, _Series) else other)

    def _reversed(self, other, op):
        if self.value is None:
            raise Missing
        return op(other, self.value)


for _name in ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq"):
    _op = getattr(operator, _name)
    setattr(_Series, f"__{_name}__", lambda self, other, op=_op: self._with(other, op))
    if _name in ("add", "sub", "mul", "truediv"):
        setattr(_Series, f"__r{_name}__", lambda self, other, op=_op: self._reversed(other, op))
_Series.__hash__ = None


def _plain(x):
    if isinstance(x, _Series):
        if x.value is None:
            raise Missing
        return x.value
    return x


FUNCTIONS = {
    "IF": lambda test, yes, no: lambda: _plain(yes()) if test() else _plain(no()),
    "FILL": lambda metric, value: lambda: value() if metric().value is None else metric().value,
}


def value(expression, metrics, period=60):
    """The expression's value where metrics holds each id's value, None for no
    data; None when the result has no data either. IF and FILL are lazy, so that
    the branch that is not taken may lack its data. RATE takes a metric's value
    as what was added since the period before."""
    def delay(text):
        """IF(a, b, c) -> IF(lambda: (a), lambda: (b), lambda: (c))()"""
        out, i = "", 0
        for m in re.finditer(r"\b(IF|FILL)\(", text):
            if m.start() < i:
                continue
            end, parts = _arguments(text, m.end())
            out += text[i:m.start()] + m[1] + "(" + ", ".join(f"lambda: ({delay(p)})" for p in parts) + ")()"
            i = end
        return out + text[i:]

    names = set(re.findall(r"\b([a-z]\w*)\b", expression))
    assert names == set(metrics), f"{expression}: has {names}, given {set(metrics)}"
    python = re.sub(r"\bAND\b", "and", re.sub(r"\bOR\b", "or", expression))
    scope = {"__builtins__": {}, **FUNCTIONS, **{n: _Series(v) for n, v in metrics.items()}, "RATE": lambda s: _plain(s) / period}
    unknown = set(re.findall(r"\b([A-Z]+)\b", expression)) - {"IF", "FILL", "RATE", "AND", "OR"}
    assert not unknown, f"{expression}: {unknown}"
    try:
        return _plain(eval(delay(python), scope))
    except Missing:
        return None


def _arguments(text, start):
    """The end of a call whose arguments begin at start, and the arguments."""
    depth, parts, at = 1, [], start
    for i in range(start, len(text)):
        c = text[i]
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i + 1, [*parts, text[at:i].strip()]
        if c == "," and depth == 1:
            parts.append(text[at:i].strip())
            at = i + 1
    raise AssertionError(f"unbalanced: {text}")


def expression(alarm):
    one, = [m["Expression"] for m in alarm["Metrics"] if "Expression" in m]
    return one


def rings(alarm, **metrics):
    """Whether one period with these values breaches an alarm on an expression."""
    result = value(expression(alarm), metrics)
    if result is None:
        return alarm["TreatMissingData"] == "breaching"
    return COMPARE[alarm["ComparisonOperator"]](result, float(alarm["Threshold"]))


def sources(alarm):
    """{id: (namespace, metric, dimensions, statistic)} of an alarm's metrics."""
    out = {}
    for m in alarm["Metrics"]:
        if "MetricStat" in m:
            s = m["MetricStat"]
            d = {x["Name"]: x["Value"] for x in s["Metric"].get("Dimensions", [])}
            out[m["Id"]] = (s["Metric"]["Namespace"], s["Metric"]["MetricName"], d, s["Stat"])
    return out


def composite(rule, alarming):
    """Whether the rule of a composite alarm holds while these alarms are in ALARM."""
    python = re.sub(r'ALARM\("([^"]+)"\)', lambda m: str(m[1] in alarming), rule)
    python = re.sub(r"\bNOT\b", "not", re.sub(r"\bAND\b", "and", re.sub(r"\bOR\b", "or", python)))
    assert not re.sub(r"\b(True|False|and|or|not)\b|[()\s]", "", python), rule
    return eval(" ".join(python.split()), {"__builtins__": {}})
