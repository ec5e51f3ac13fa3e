"""Finds the places of a C source where one small mistake can be made, and makes it.

A mutant is the text with one replacement. Kinds:
  comparison   < and <=, > and >=, == and !=
  arithmetic   + and -, * and /, << and >>, ++ and --, also with =
  logic        && and ||; & and | on flags
  condition    of if, while, ?: negated; a ! taken away; a bool returned negated
  constant     a number or a character one more, one less; true and false; an enum's next value
  statement    a call, an assignment, break, continue, goto, return of nothing: left out
  status       a returned status replaced by success, success by a failure
Left alone: what is in assertions and other macros, in declarations outside functions, sizes of
arrays, and labels of cases.

Not for: building or judging them (judge.py). Called by mutate.py beside this."""

from dataclasses import dataclass

from clang.cindex import CursorKind, TokenKind, TypeKind

import source

COMPARISONS = {b"<": b"<=", b"<=": b"<", b">": b">=", b">=": b">", b"==": b"!=", b"!=": b"=="}
ARITHMETIC = {b"+": b"-", b"-": b"+", b"*": b"/", b"/": b"*", b"%": b"*", b"<<": b">>",
              b">>": b"<<", b"+=": b"-=", b"-=": b"+="}
LOGIC = {b"&&": b"||", b"||": b"&&", b"&": b"|", b"|": b"&", b"|=": b"&="}
KIND_OF = {**dict.fromkeys(COMPARISONS, "comparison"), **dict.fromkeys(ARITHMETIC, "arithmetic"),
           **dict.fromkeys(LOGIC, "logic")}
OTHER = {**COMPARISONS, **ARITHMETIC, **LOGIC}
STEPS = {b"++": b"--", b"--": b"++"}
CONSTANTS = (CursorKind.INTEGER_LITERAL, CursorKind.CHARACTER_LITERAL)
LEAVING = (CursorKind.BREAK_STMT, CursorKind.CONTINUE_STMT, CursorKind.GOTO_STMT)
ARRAYS = (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY)


@dataclass(frozen=True)
class Mutant:
    path: str       # from the root
    begin: int      # bytes of the text that are replaced
    end: int
    new: bytes
    kind: str
    line: int
    function: str

    def name(self):
        return f"{self.path}:{self.begin}-{self.end}:{self.new.decode()}"

    def of(self, text):
        """The mutated text, which has as many lines."""
        lost = text[self.begin:self.end].count(b"\n") - self.new.count(b"\n")
        return text[:self.begin] + self.new + b"\n" * max(0, lost) + text[self.end:]


def range_of(cursor):
    return cursor.extent.start.offset, cursor.extent.end.offset


class Finder:
    """Goes through the functions of one source."""

    def __init__(self, build, root, path):
        self.path = path
        self.text = (root / path).read_bytes()
        self.unit = source.parse(build, root / path)
        self.name = str(root / path)
        self.function = ""
        self.returns = None
        self.found = {}
        self.macros = []

    def all(self):
        """Every mutant of the source, in the order of the text."""
        for cursor in self.unit.cursor.get_children():
            if cursor.location.file and cursor.location.file.name == self.name:
                if cursor.kind == CursorKind.MACRO_INSTANTIATION:
                    begin, end = range_of(cursor)
                    if b"(" in self.text[begin:end]:
                        self.macros.append((begin, end))
                elif cursor.kind == CursorKind.FUNCTION_DECL and cursor.is_definition():
                    self.function = cursor.spelling
                    self.returns = cursor.result_type
                    self.walk(list(cursor.get_children())[-1])
                    self.tokens(cursor)
        return sorted(self.found.values(), key=lambda mutant: (mutant.begin, mutant.end, mutant.new))

    def add(self, begin, end, new, kind):
        if begin >= end or any(first < end and begin < last for first, last in self.macros):
            return
        line = self.text.count(b"\n", 0, begin) + 1
        mutant = Mutant(self.path, begin, end, new, kind, line, self.function)
        self.found.setdefault((begin, end, new), mutant)

    def words(self, cursor):
        begin, end = range_of(cursor)
        return self.text[begin:end]

    # -- the tree ---------------------------------------------------------------------------

    def walk(self, cursor):
        children = list(cursor.get_children())
        self.look(cursor, children)
        if cursor.kind == CursorKind.CASE_STMT:
            children = children[1:]
        if cursor.kind == CursorKind.VAR_DECL and cursor.type.kind in ARRAYS:
            children = [child for child in children if child.kind not in CONSTANTS]
        for child in children:
            self.walk(child)

    def look(self, cursor, children):
        kind = cursor.kind
        if kind in (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR):
            self.operator(children)
        elif kind == CursorKind.UNARY_OPERATOR:
            self.unary(cursor)
        elif kind in (CursorKind.IF_STMT, CursorKind.WHILE_STMT, CursorKind.CONDITIONAL_OPERATOR):
            self.negated(children[0])
        elif kind in CONSTANTS:
            self.constant(cursor)
        elif kind == CursorKind.DECL_REF_EXPR:
            self.enumerator(cursor)
        elif kind == CursorKind.RETURN_STMT:
            self.returned(cursor, children)
        if kind == CursorKind.COMPOUND_STMT:
            for child in children:
                self.statement(child)
        elif kind in (CursorKind.IF_STMT, CursorKind.WHILE_STMT, CursorKind.FOR_STMT,
                      CursorKind.CASE_STMT, CursorKind.DEFAULT_STMT):
            for child in children[1:] if kind != CursorKind.FOR_STMT else children[-1:]:
                self.statement(child)

    def operator(self, children):
        if len(children) != 2:
            return
        begin, end = children[0].extent.end.offset, children[1].extent.start.offset
        between = self.text[begin:end]
        word = between.strip()
        if word in OTHER:
            at = begin + between.index(word)
            self.add(at, at + len(word), OTHER[word], KIND_OF[word])

    def unary(self, cursor):
        begin, end = range_of(cursor)
        words = self.text[begin:end]
        if words.startswith(b"!"):
            self.add(begin, begin + 1, b"", "condition")
        elif words[:2] in STEPS:
            self.add(begin, begin + 2, STEPS[words[:2]], "arithmetic")
        elif words[-2:] in STEPS:
            self.add(end - 2, end, STEPS[words[-2:]], "arithmetic")

    def negated(self, cursor):
        begin, end = range_of(cursor)
        words = self.text[begin:end]
        if not words.startswith(b"!"):  # that one is found by unary()
            self.add(begin, end, b"!(" + words.replace(b"\n", b" ") + b")", "condition")

    def constant(self, cursor):
        words = self.words(cursor)
        if not words[:1].isdigit() and not words.startswith(b"'"):
            return  # out of a macro
        begin, end = range_of(cursor)
        self.add(begin, end, b"(" + words + b" + 1)", "constant")
        if words != b"0":
            self.add(begin, end, b"(" + words + b" - 1)", "constant")

    def enumerator(self, cursor):
        named = cursor.referenced
        if named is None or named.kind != CursorKind.ENUM_CONSTANT_DECL:
            return
        begin, end = range_of(cursor)
        if self.text[begin:end] != cursor.spelling.encode():
            return
        family = [value.spelling for value in named.semantic_parent.get_children()]
        if named.semantic_parent.spelling.startswith("enum (") or not named.semantic_parent.spelling:
            self.add(begin, end, b"(" + self.text[begin:end] + b" + 1)", "constant")
        elif not cursor.spelling.startswith("STATUS_"):
            other = family[(family.index(cursor.spelling) + 1) % len(family)]
            self.add(begin, end, other.encode(), "constant")

    def returned(self, cursor, children):
        begin, end = range_of(cursor)
        if not children:
            self.add(begin, end, b"", "statement")
            return
        words = self.words(children[0])
        first, last = range_of(children[0])
        if words == b"0" and self.returns.kind == TypeKind.INT and b"STATUS_" in self.text:
            self.add(first, last, b"-7", "status")
        elif words.startswith(b"STATUS_") and words.replace(b"_", b"").isalnum():
            self.add(first, last, b"0", "status")
        elif (self.returns.get_canonical().kind == TypeKind.BOOL and not words.startswith(b"!")
              and words not in (b"true", b"false")):
            self.add(first, last, b"!(" + words.replace(b"\n", b" ") + b")", "condition")

    def statement(self, cursor):
        """One that may be left out: what it does stays behind."""
        begin, end = range_of(cursor)
        kind = cursor.kind
        while kind == CursorKind.UNEXPOSED_EXPR:
            cursor = next(cursor.get_children(), None)
            kind = cursor.kind if cursor else None
        words = self.text[begin:end]
        assigns = kind == CursorKind.BINARY_OPERATOR and b"=" in words
        if (kind in (CursorKind.CALL_EXPR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR, *LEAVING)
                or assigns or kind == CursorKind.UNARY_OPERATOR and b"++" in words):
            self.add(begin, end, b"", "statement")

    # -- the tokens -------------------------------------------------------------------------

    def tokens(self, function):
        for token in function.get_tokens():
            if token.kind == TokenKind.IDENTIFIER and token.spelling in ("true", "false"):
                begin = token.extent.start.offset
                word = token.spelling.encode()
                new = b"false" if word == b"true" else b"true"
                self.add(begin, begin + len(word), new, "constant")


def mutants_of(build, root, path):
    return Finder(build, root, path).all()
