# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled form of `iso_plan`: the same functions, the same results, the same errors.

Values of the commonest form (ASCII letters and digits, bytes of a fixed length) are read and written here; every
other value goes through its field's own closures, as it does in pure Python, so that nothing is said twice.
Every access lies within bounds that were compared before it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    DIGIT = 1
    LETTER = 2

cdef unsigned char[256] KINDS
memset(KINDS, 0, 256)
cdef int _code
for _code in range(256):
    if 48 <= _code <= 57:
        KINDS[_code] = DIGIT
    elif 65 <= _code <= 90 or 97 <= _code <= 122:
        KINDS[_code] = LETTER


cdef struct Field:
    bint quick  # anything below counts only with it
    bint binary
    unsigned char allowed
    Py_ssize_t size
    int prefix
    Py_ssize_t limit
    int side  # -1 filled at the left, 1 at the right, 0 never
    char fill
    bint strip


cdef Field form_of(object quick):
    cdef Field field
    memset(&field, 0, sizeof(Field))
    if quick is None:
        return field
    field.quick = True
    field.binary = quick.binary
    field.allowed = DIGIT if quick.digits else DIGIT | LETTER
    field.size, field.prefix, field.limit = quick.size, quick.prefix, quick.limit
    field.side = -1 if quick.side == "left" else 1 if quick.side == "right" else 0
    field.fill = <char>ord(quick.fill or " ")
    field.strip = quick.strip
    return field


cdef inline bint all_of(const unsigned char *data, Py_ssize_t size, unsigned char allowed) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(size):
        if not KINDS[data[at]] & allowed:
            return False
    return True


cdef inline object text_of(const unsigned char *data, Py_ssize_t size):
    """Return ASCII characters as a text."""
    cdef object text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), data, size)
    return text


cdef struct Out:
    char *data
    char *short  # where it begins; grown beyond, it lies on the heap
    Py_ssize_t used
    Py_ssize_t room


cdef inline int make_room(Out *out, Py_ssize_t wanted) except -1:
    if wanted > out.room - out.used:
        out.room = (out.used + wanted) * 2
        out.data = grown(out.data, out.short, out.used, out.room)
    return 0


cdef inline int put_bytes(Out *out, bytes data) except -1:
    make_room(out, PyBytes_GET_SIZE(data))
    memcpy(out.data + out.used, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    out.used += PyBytes_GET_SIZE(data)
    return 0


cdef inline Py_ssize_t digits_at(const unsigned char *data, int digits) noexcept nogil:
    """Return the number that these ASCII digits say, -1 where one is none."""
    cdef Py_ssize_t number = 0
    cdef int digit
    for digit in range(digits):
        if not KINDS[data[digit]] & DIGIT:
            return -1
        number = number * 10 + data[digit] - 48
    return number


cdef inline void put_digits(char *data, int digits, Py_ssize_t number) noexcept nogil:
    cdef int digit
    for digit in range(digits - 1, -1, -1):
        data[digit] = <char>(48 + number % 10)
        number //= 10


cdef enum:
    PARTS = 1
    OPEN = 2
    REPEAT = 3
    TAGGED = 4


cdef class Inside:
    """What stands inside a composite; see `composite.parts`, `repeat` and `tagged`, which do the same."""

    cdef int kind, length_digits
    cdef Field *fields
    cdef Py_ssize_t *sizes  # of leaves of fixed length with nothing secret; -1 of all others
    cdef Py_ssize_t count, shortest, entries_max, tag_length
    cdef list items, names, decoders, encoders, blanks, takes_rest
    cdef dict cases
    cdef object rest, star_item

    def __cinit__(self, told, star_item):
        self.kind = {"parts": PARTS, "open": OPEN, "repeat": REPEAT, "tagged": TAGGED}[told.kind]
        self.items = list(told.items)
        self.names = [item.name for item in told.items]
        self.decoders = [item.decode for item in told.items]
        self.encoders = [item.encode for item in told.items]
        self.blanks = [item.blank for item in told.items]
        self.takes_rest = [item.takes_rest for item in told.items]
        self.rest, self.star_item = told.rest, star_item
        self.shortest, self.entries_max = told.shortest, told.entries_max
        self.tag_length, self.length_digits = told.tag_length, told.length_digits
        self.cases = {tag: Inside(case, star_item) for tag, case in told.cases.items()}
        self.count = len(self.names)
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        self.sizes = <Py_ssize_t *>PyMem_Malloc(max(1, self.count) * sizeof(Py_ssize_t))
        if self.fields is NULL or self.sizes is NULL:
            raise MemoryError
        for at, item in enumerate(told.items):
            self.fields[at] = form_of(item.quick)
            self.sizes[at] = -1 if item.secret or item.size is None else item.size

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.sizes)

    cdef bint ends_before(self, Py_ssize_t number, Py_ssize_t at, Py_ssize_t stop):
        """Tell whether an open row ends before this part."""
        blank = self.blanks[number]
        if blank is not None and at + PyBytes_GET_SIZE(blank) > stop:
            return True
        return at == stop

    cdef object read(self, bytes body, Py_ssize_t at, Py_ssize_t stop):
        """Return the value between the two, None where the closures have to look."""
        cdef dict value = {}
        cdef list entries
        if self.kind == TAGGED:
            return self.read_tags(body, at, stop)
        if self.kind == REPEAT:
            entries = []
            while at < stop:
                if len(entries) == self.entries_max:
                    return None
                value = {}
                at = self.read_row(body, at, stop, value)
                entries.append(value)
            return entries
        at = self.read_row(body, at, stop, value)
        if at < stop:
            if self.rest is None:
                return None
            value[self.rest.name], at = self.rest.decode(body, at, stop)
        return value

    cdef Py_ssize_t read_row(self, bytes body, Py_ssize_t at, Py_ssize_t stop, dict value) except -1:
        cdef Py_ssize_t number, begin
        cdef object found
        for number in range(self.count):
            if self.kind == OPEN and not self.takes_rest[number] and self.ends_before(number, at, stop):
                break
            found, begin = None, at
            if self.fields[number].quick:
                found = quick_value(&self.fields[number], body, &at, stop)
            if found is None:
                found, at = (<object>self.decoders[number])(body, begin, stop)
            value[self.names[number]] = found
        return at

    cdef object read_tags(self, bytes body, Py_ssize_t at, Py_ssize_t stop):
        cdef dict value = {}
        cdef Py_ssize_t begin, end
        cdef object inside, content
        while at < stop or not value:
            begin, end = at, stop
            inside = self.case_at(body, &begin, &end)
            if inside is None:
                return None
            tag = text_of(<const unsigned char *>PyBytes_AS_STRING(body) + at, self.tag_length)
            content = None if tag in value else (<Inside>inside).read(body, begin, end)
            if content is None:
                return None
            value[tag] = content
            at = end
        return value

    cdef object case_at(self, bytes body, Py_ssize_t *begin, Py_ssize_t *end):
        """Return what stands behind the tag at `begin`, and from where to where; None where it is not known or
        does not fit."""
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef Py_ssize_t at = begin[0], stop = end[0], size
        begin[0] = at + self.tag_length + self.length_digits
        if begin[0] > stop or not all_of(data + at, self.tag_length, DIGIT | LETTER):
            return None
        if self.length_digits:
            size = digits_at(data + at + self.tag_length, self.length_digits)
            if size < 0 or size > stop - begin[0]:
                return None
            end[0] = begin[0] + size
        return self.cases.get(text_of(data + at, self.tag_length))

    cdef int put(self, object value, Out *out) except -1:
        """Write a value; 0 where the closures have to, whatever was written until then."""
        if self.kind == TAGGED:
            return self.put_tags(value, out)
        if self.kind != REPEAT:
            return self.put_row(value, out)
        if type(value) is not list or len(<list>value) > self.entries_max:
            return 0
        for entry in <list>value:
            if not self.put_row(entry, out):
                return 0
        return 1

    cdef int put_row(self, object value, Out *out) except -1:
        cdef Py_ssize_t number, size, last = -1, hits = 0, start = out.used
        cdef dict table
        if type(value) is not dict:
            return 0
        table = <dict>value
        for number in range(self.count):
            if self.names[number] in table:
                hits += 1
                last = number
        if hits != len(table) or (self.kind != OPEN and hits != self.count):
            return 0
        for number in range(self.count):
            if self.kind == OPEN and number > last and out.used - start >= self.shortest:
                break
            if self.names[number] in table:
                found = table[self.names[number]]
                size = quick_size(&self.fields[number], found) if self.fields[number].quick else -1
                if size < 0:
                    put_bytes(out, (<object>self.encoders[number])(found))
                else:
                    make_room(out, size)
                    put_quick(&self.fields[number], found, out.data + out.used, size)
                    out.used += size
            elif self.blanks[number] is None:
                return 0
            else:
                put_bytes(out, self.blanks[number])
        return 1

    cdef int put_tags(self, object value, Out *out) except -1:
        cdef Py_ssize_t start, size, most = 1
        cdef int digit
        if type(value) is not dict or not value or (not self.length_digits and len(<dict>value) != 1):
            return 0
        for digit in range(self.length_digits):
            most *= 10
        for tag, content in (<dict>value).items():
            inside = self.cases.get(tag) if type(tag) is str else None
            if inside is None:
                return 0
            make_room(out, self.tag_length + self.length_digits)
            memcpy(out.data + out.used, PyUnicode_DATA(tag), self.tag_length)
            out.used += self.tag_length + self.length_digits
            start = out.used
            if not (<Inside>inside).put(content, out):
                return 0
            size = out.used - start
            if self.length_digits:
                if size >= most:
                    return 0
                put_digits(out.data + start - self.length_digits, self.length_digits, size)
        return 1

    cdef bint star(self, bytes body, Py_ssize_t at, Py_ssize_t stop, object masked) except -1:
        """Star what is secret between the two; False where the closures have to look, again from its start."""
        cdef Py_ssize_t begin, end, number
        cdef object inside
        if self.kind == REPEAT:
            return False
        if self.kind == TAGGED:
            begin = -1
            while at < stop or begin < 0:
                begin, end = at, stop
                inside = self.case_at(body, &begin, &end)
                if inside is None or not (<Inside>inside).star(body, begin, end, masked):
                    return False
                at = end
            return True
        for number in range(self.count):
            if self.kind == OPEN and self.ends_before(number, at, stop):
                break
            if self.sizes[number] >= 0:
                at += self.sizes[number]
                if at > stop:
                    return False
            else:
                at = self.star_item(self.items[number], body, at, stop, masked)
        if at < stop and self.rest is not None:
            at = self.star_item(self.rest, body, at, stop, masked)
        return at == stop


cdef class Nest:
    """A composite in the commonest frame; see `composite.framed`."""

    cdef int prefix
    cdef Py_ssize_t size, limit, shortest
    cdef Inside inside

    def __cinit__(self, told, star_item):
        self.prefix, self.size, self.limit, self.shortest = told.prefix, told.size, told.limit, told.shortest
        self.inside = Inside(told.inside, star_item)

    cdef bint bounds(self, bytes body, Py_ssize_t *begin, Py_ssize_t *stop):
        """Move both to where the content begins and stops; False where it does not fit."""
        cdef Py_ssize_t size = self.size
        if self.prefix:
            if begin[0] + self.prefix > stop[0]:
                return False
            size = digits_at(<const unsigned char *>PyBytes_AS_STRING(body) + begin[0], self.prefix)
            if size < 0 or size > self.limit:
                return False
            begin[0] += self.prefix
        elif size < 0:
            size = stop[0] - begin[0]
        if size > stop[0] - begin[0]:
            return False
        stop[0] = begin[0] + size
        return True

    cdef object read(self, bytes body, Py_ssize_t *at, Py_ssize_t end):
        """Return a value and move `at` behind it; None where the closures have to look."""
        cdef Py_ssize_t begin = at[0], stop = end
        if not self.bounds(body, &begin, &stop) or stop - begin < self.shortest:
            return None
        value = self.inside.read(body, begin, stop)
        if value is not None:
            at[0] = stop
        return value

    cdef int put(self, object value, Out *out, bint whole) except -1:
        """Write a value, with its length where it is to be `whole`; 0 and nothing where the closures have to."""
        cdef Py_ssize_t start = out.used, size
        cdef int prefix = self.prefix if whole else 0
        make_room(out, prefix)
        out.used += prefix
        if self.inside.put(value, out):
            size = out.used - start - prefix
            if size == self.size or (self.size < 0 and (size <= self.limit or not self.prefix)):
                put_digits(out.data + start, prefix, size)
                return 1
        out.used = start
        return 0


cdef list nests_of(items, star_item):
    return [None if item.nest is None else Nest(item.nest, star_item) for item in items]


cdef class Masker:
    """Stars the fields of one bitmap in a copy of a body; see `iso_mask.make_masker`."""

    cdef list items, nests, bounds
    cdef Field *fields
    cdef Py_ssize_t *sizes
    cdef bint *secret
    cdef Py_ssize_t count
    cdef object star_item

    def __cinit__(self, items, star_item):
        self.items, self.star_item = list(items), star_item
        self.nests = nests_of(items, star_item)
        self.bounds = [item.bounds for item in items]
        self.count = len(self.items)
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        self.sizes = <Py_ssize_t *>PyMem_Malloc(max(1, self.count) * sizeof(Py_ssize_t))
        self.secret = <bint *>PyMem_Malloc(max(1, self.count) * sizeof(bint))
        if self.fields is NULL or self.sizes is NULL or self.secret is NULL:
            raise MemoryError
        for at, item in enumerate(items):
            self.fields[at] = form_of(item.quick)
            self.secret[at] = item.secret
            self.sizes[at] = -1 if item.secret or item.size is None else item.size

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.sizes)
        PyMem_Free(self.secret)

    def __call__(self, bytes body not None, Py_ssize_t at, masked):
        cdef Py_ssize_t end = PyBytes_GET_SIZE(body), number, begin, stop, size
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef Nest nest
        if at < 0 or at > end:
            raise ValueError("the fields begin within the body")
        for number in range(self.count):
            if 0 <= self.sizes[number] <= end - at:
                at += self.sizes[number]
                continue
            begin, stop = at, end
            if not self.secret[number]:
                if self.fields[number].prefix and begin + self.fields[number].prefix <= end:
                    size = digits_at(data + begin, self.fields[number].prefix)
                    begin += self.fields[number].prefix
                    if 0 <= size <= self.fields[number].limit and size <= end - begin:
                        at = begin + size
                        continue
                at = self.bounds[number](body, at, end)[1]
                continue
            nest = self.nests[number]
            if (
                nest is not None
                and not self.items[number].about.sensitive
                and nest.bounds(body, &begin, &stop)
                and nest.inside.star(body, begin, stop, masked)
            ):
                at = stop
            else:
                at = self.star_item(self.items[number], body, at, end, masked)
        return at


cdef class Reader:
    """Reads the fields of one bitmap; see `iso_plan.make_reader`."""

    cdef Field *fields
    cdef Py_ssize_t count
    cdef list names, decoders, nests

    def __cinit__(self, items, star_item):
        self.names = [item.name for item in items]
        self.decoders = [item.decode for item in items]
        self.nests = nests_of(items, star_item)
        self.count = len(self.names)
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        if self.fields is NULL:
            raise MemoryError
        for at, item in enumerate(items):
            self.fields[at] = form_of(item.quick)

    def __dealloc__(self):
        PyMem_Free(self.fields)

    def __call__(self, bytes body not None, Py_ssize_t at, Py_ssize_t end, dict message not None):
        cdef Py_ssize_t number, stop
        cdef object value
        if at < 0 or end > PyBytes_GET_SIZE(body):
            raise ValueError("the fields begin and end within the body")
        for number in range(self.count):
            stop = at
            value = None
            if self.fields[number].quick:
                value = quick_value(&self.fields[number], body, &stop, end)
            elif self.nests[number] is not None:
                value = (<Nest>self.nests[number]).read(body, &stop, end)
            if value is None:
                value, stop = (<object>self.decoders[number])(body, at, end)
            at = stop
            message[self.names[number]] = value
        return at


cdef object quick_value(const Field *field, bytes body, Py_ssize_t *at, Py_ssize_t end):
    """Return a value of the commonest form and move `at` behind it; None for any other."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef Py_ssize_t begin = at[0], size = field.size, start, stop
    if field.prefix:
        if begin + field.prefix > end:
            return None
        size = digits_at(data + begin, field.prefix)
        begin += field.prefix
        if size < 0 or size > field.limit:
            return None
    if size > end - begin:
        return None
    if field.binary:
        at[0] = begin + size
        return PyBytes_FromStringAndSize(<const char *>data + begin, size)
    start, stop = begin, begin + size
    if field.strip and field.side > 0:
        while stop > start and data[stop - 1] == <unsigned char>field.fill:
            stop -= 1
    elif field.strip:
        while start < stop and data[start] == <unsigned char>field.fill:
            start += 1
    if start == stop or not all_of(data + start, stop - start, field.allowed):
        return None
    at[0] = begin + size
    return text_of(data + start, stop - start)


cdef class Writer:
    """Writes fields in the order in which they are given; see `iso_plan.make_writer`."""

    cdef Field *fields
    cdef Py_ssize_t count
    cdef list names, encoders, nests

    def __cinit__(self, items, star_item):
        self.names = [item.name for item in items]
        self.encoders = [item.encode for item in items]
        self.nests = nests_of(items, star_item)
        self.count = len(self.names)
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        if self.fields is NULL:
            raise MemoryError
        for at, item in enumerate(items):
            self.fields[at] = form_of(item.quick)

    def __dealloc__(self):
        PyMem_Free(self.fields)

    def __call__(self, dict message not None):
        cdef char[1024] short
        cdef Out out
        cdef Py_ssize_t number, wanted
        cdef object value
        out.data, out.short, out.used, out.room = short, short, 0, 1024
        try:
            for number in range(self.count):
                value = message[self.names[number]]
                wanted = -1
                if self.fields[number].quick:
                    wanted = quick_size(&self.fields[number], value)
                elif self.nests[number] is not None and (<Nest>self.nests[number]).put(value, &out, True):
                    continue
                if wanted < 0:
                    put_bytes(&out, (<object>self.encoders[number])(value))
                else:
                    make_room(&out, wanted)
                    put_quick(&self.fields[number], value, out.data + out.used, wanted)
                    out.used += wanted
            return PyBytes_FromStringAndSize(out.data, out.used)
        finally:
            if out.data is not short:
                PyMem_Free(out.data)


cdef char *grown(char *out, char *short, Py_ssize_t used, Py_ssize_t room) except NULL:
    cdef char *larger = <char *>PyMem_Realloc(NULL if out is short else out, room)
    if larger is NULL:
        raise MemoryError
    if out is short:
        memcpy(larger, short, used)
    return larger


cdef Py_ssize_t quick_size(const Field *field, object value):
    """Return how many bytes a value of the commonest form takes; -1 for any other."""
    cdef Py_ssize_t size
    if field.binary:
        if type(value) is not bytes or PyBytes_GET_SIZE(value) != field.size:
            return -1
        return field.size
    if type(value) is not str or not PyUnicode_IS_COMPACT_ASCII(value):
        return -1
    size = PyUnicode_GET_LENGTH(value)
    if size == 0 or not all_of(<const unsigned char *>PyUnicode_DATA(value), size, field.allowed):
        return -1
    if field.prefix:
        return field.prefix + size if size <= field.limit else -1
    return field.size if size == field.size or (field.side and size < field.size) else -1


cdef void put_quick(const Field *field, object value, char *out, Py_ssize_t wanted):
    """Write a value whose size is known."""
    cdef Py_ssize_t size
    if field.binary:
        memcpy(out, PyBytes_AS_STRING(value), wanted)
        return
    size = PyUnicode_GET_LENGTH(value)
    if field.prefix:
        put_digits(out, field.prefix, size)
        memcpy(out + field.prefix, PyUnicode_DATA(value), size)
    elif field.side < 0:
        memset(out, field.fill, wanted - size)
        memcpy(out + wanted - size, PyUnicode_DATA(value), size)
    else:
        memcpy(out, PyUnicode_DATA(value), size)
        memset(out + size, field.fill, wanted - size)



# What a MAC of the card networks covers: capitals, digits, full stop and comma, blanks squeezed to one.
cdef unsigned char[256] KEPT_AS
memset(KEPT_AS, 0, 256)
for _code in range(256):
    if 48 <= _code <= 57 or 65 <= _code <= 90 or _code == 44 or _code == 46 or _code == 32:
        KEPT_AS[_code] = <unsigned char>_code
    elif 97 <= _code <= 122:
        KEPT_AS[_code] = <unsigned char>(_code - 32)


cdef Py_ssize_t select_cups(const unsigned char *data, Py_ssize_t size, unsigned char *out) noexcept nogil:
    """Write what counts of these bytes; return how many they are, at most `size`."""
    cdef Py_ssize_t at, used = 0
    cdef unsigned char kept
    cdef bint blank = False
    for at in range(size):
        kept = KEPT_AS[data[at]]
        if kept == 32:
            blank = used > 0
        elif kept:
            if blank:
                out[used] = 32
                used += 1
                blank = False
            out[used] = kept
            used += 1
    return used


cdef class Gatherer:
    """Gathers what a MAC covers; see `mac_plan.make_gatherer`."""

    cdef Field *fields
    cdef Py_ssize_t *takes
    cdef Py_ssize_t count
    cdef list names, writers, nests, whole
    cdef bint cups, empty
    cdef bytes join

    def __cinit__(self, given, joining, star_item):
        self.names = [field.name for field in given]
        self.writers = [field.write for field in given]
        self.nests = nests_of(given, star_item)
        self.whole = [field.whole for field in given]
        self.count = len(self.names)
        self.cups = joining.selection == "cups"
        self.join, self.empty = joining.join, joining.empty
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        self.takes = <Py_ssize_t *>PyMem_Malloc(max(1, self.count) * sizeof(Py_ssize_t))
        if self.fields is NULL or self.takes is NULL:
            raise MemoryError
        for at, field in enumerate(given):
            self.fields[at] = form_of(field.quick)
            self.takes[at] = field.take

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.takes)

    def __call__(self, dict message not None):
        cdef char[2048] short
        cdef char[1024] own_short
        cdef Out out, own  # all that is gathered, and one field
        cdef Py_ssize_t number, size, joint = PyBytes_GET_SIZE(self.join)
        cdef bint first = True
        cdef object value
        out.data, out.short, out.used, out.room = short, short, 0, 2048
        own.data, own.short, own.used, own.room = own_short, own_short, 0, 1024
        try:
            for number in range(self.count):
                value = message.get(self.names[number])
                if value is None and not self.empty:
                    continue
                own.used = 0
                if value is not None:
                    self.put(number, value, &own)
                size = own.used
                if self.takes[number] and size > self.takes[number]:
                    size = self.takes[number]
                make_room(&out, joint + size)
                if not first:
                    memcpy(out.data + out.used, PyBytes_AS_STRING(self.join), joint)
                    out.used += joint
                first = False
                if self.cups:
                    out.used += select_cups(
                        <const unsigned char *>own.data, size, <unsigned char *>out.data + out.used
                    )
                else:
                    memcpy(out.data + out.used, own.data, size)
                    out.used += size
            return PyBytes_FromStringAndSize(out.data, out.used)
        finally:
            if out.data is not short:
                PyMem_Free(out.data)
            if own.data is not own_short:
                PyMem_Free(own.data)

    cdef int put(self, Py_ssize_t number, object value, Out *own) except -1:
        """Write one field as it stands on the wire."""
        cdef Py_ssize_t size = -1
        if self.fields[number].quick:
            size = quick_size(&self.fields[number], value)
        elif self.nests[number] is not None and (<Nest>self.nests[number]).put(
            value, own, self.whole[number]
        ):
            return 0
        if size < 0:
            return put_bytes(own, (<object>self.writers[number])(value))
        make_room(own, size)
        put_quick(&self.fields[number], value, own.data, size)
        own.used = size
        return 0


# DES by the functions of libcrypto, whose addresses `des` has found; nothing of the cipher is made here.
ctypedef void (*EcbCall)(const unsigned char *, unsigned char *, void *, int) noexcept nogil
ctypedef unsigned int (*SumCall)(
    const unsigned char *, unsigned char *, long, void *, const unsigned char *
) noexcept nogil
ctypedef void (*KeyCall)(const unsigned char *, void *) noexcept nogil


cdef class LibcryptoCipher:
    """Single DES by the system's libcrypto; see `des.LibcryptoCipher`, which does the same through ctypes."""

    cdef unsigned int[32] schedule
    cdef EcbCall ecb
    cdef SumCall sum

    def __cinit__(self, size_t set_key, size_t ecb, size_t sum, bytes key not None):
        if PyBytes_GET_SIZE(key) != 8 or not (set_key and ecb and sum):
            raise ValueError("a key of eight bytes and three functions")
        self.ecb, self.sum = <EcbCall>ecb, <SumCall>sum
        (<KeyCall>set_key)(<const unsigned char *>PyBytes_AS_STRING(key), self.schedule)

    cdef bytes _block(self, bytes block, int forth):
        cdef unsigned char[8] out
        if PyBytes_GET_SIZE(block) != 8:
            raise ValueError("one block of eight bytes")
        self.ecb(<const unsigned char *>PyBytes_AS_STRING(block), out, self.schedule, forth)
        return PyBytes_FromStringAndSize(<char *>out, 8)

    def encrypt(self, bytes block not None):
        return self._block(block, 1)

    def decrypt(self, bytes block not None):
        return self._block(block, 0)

    def chain(self, bytes data not None):
        cdef unsigned char[8] out
        cdef unsigned char[8] zero
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if size == 0 or size % 8:
            raise ValueError("whole blocks of eight bytes")
        memset(zero, 0, 8)
        self.sum(<const unsigned char *>PyBytes_AS_STRING(data), out, size, self.schedule, zero)
        return PyBytes_FromStringAndSize(<char *>out, 8)
