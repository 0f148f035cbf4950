# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled form of `iso_plan`: the same functions, the same results, the same errors.

Values of the commonest form (ASCII letters and digits, bytes of a fixed length) are read and written here; every
other value goes through its field's own closures, as it does in pure Python, so that nothing is said twice.
Every access lies within bounds that were compared before it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    char *PyByteArray_AS_STRING(object array)
    object PyByteArray_FromStringAndSize(const char *data, Py_ssize_t size)
    bint PyObject_RichCompareBool(object one, object other, int how) except -1
    enum: Py_EQ
    void Py_DECREF(PyObject *one)
    void Py_INCREF(PyObject *one)
    PyObject *new_text "PyUnicode_New"(Py_ssize_t size, Py_UCS4 largest) except NULL
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int set_item "PyDict_SetItem"(PyObject *table, PyObject *name, PyObject *value) except -1

cdef enum:
    DIGITS = 1
    LETTERS = 2  # and digits
    PRINTABLE = 3
    BYTES = 4

cdef enum:
    LEFT = 1
    RIGHT = 2

cdef unsigned char[256] ALPHANUMERIC
cdef char[256][2] UNPACKED  # two digits as characters; nothing for what are none
memset(ALPHANUMERIC, 0, 256)
memset(UNPACKED, 0, 512)
cdef int _code
for _code in range(256):
    ALPHANUMERIC[_code] = 48 <= _code <= 57 or 65 <= _code <= 90 or 97 <= _code <= 122
    if _code >> 4 < 10 and _code & 15 < 10:
        UNPACKED[_code][0], UNPACKED[_code][1] = <char>(48 + (_code >> 4)), <char>(48 + (_code & 15))


cdef struct Field:
    bint quick  # anything below counts only with it
    int kind
    Py_ssize_t size
    int prefix
    bint packed_prefix
    int packed  # where the filler of an odd digit stands; 0 for digits of a byte each
    Py_ssize_t limit
    int side  # where it is filled; 0 for never
    char fill
    bint strip


cdef Field form_of(object quick):
    cdef Field field
    memset(&field, 0, sizeof(Field))
    if quick is None:
        return field
    field.quick = True
    field.kind = {"digits": DIGITS, "letters": LETTERS, "printable": PRINTABLE, "bytes": BYTES}[quick.kind]
    field.size, field.limit = quick.size, quick.limit
    field.prefix, field.packed_prefix = quick.prefix, quick.packed_prefix
    field.packed = {"left": LEFT, "right": RIGHT}.get(quick.packed, 0)
    field.side = {"left": LEFT, "right": RIGHT}.get(quick.side, 0)
    field.fill = <char>ord(quick.fill or " ")
    field.strip = quick.strip
    return field


cdef inline bint between(
    const unsigned char *data, Py_ssize_t size, unsigned char low, unsigned char high
) noexcept nogil:
    """Tell whether all bytes lie between two ASCII characters; eight of them at a time."""
    cdef unsigned long long tops = 0x8080808080808080ULL, ones = 0x0101010101010101ULL, word
    cdef unsigned long long up = ones * <unsigned long long>(128 - low)
    cdef unsigned long long over = ones * <unsigned long long>(127 - high)
    cdef Py_ssize_t at
    while size >= 8:
        memcpy(&word, data, 8)
        if (word | ~(word + up) | (word + over)) & tops:
            return False
        data += 8
        size -= 8
    for at in range(size):
        if not low <= data[at] <= high:
            return False
    return True


cdef inline bint all_of(const unsigned char *data, Py_ssize_t size, int kind) noexcept nogil:
    cdef Py_ssize_t at
    if kind == DIGITS:
        return between(data, size, 48, 57)
    if kind == PRINTABLE:
        return between(data, size, 32, 126)
    for at in range(size):
        if not ALPHANUMERIC[data[at]]:
            return False
    return True


cdef inline object text_of(const unsigned char *data, Py_ssize_t size):
    """Return ASCII characters as a text."""
    cdef object text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), data, size)
    return text


cdef inline object unpacked(const unsigned char *data, Py_ssize_t digits, int filler):
    """Return digits that stand two in a byte; None where something else does."""
    cdef object text = PyUnicode_New(digits, 127)
    cdef char *out = <char *>PyUnicode_DATA(text)
    cdef Py_ssize_t pair
    cdef unsigned char odd
    if digits & 1:
        odd = data[0] & 15 if filler == LEFT else data[digits >> 1] >> 4
        if odd > 9:
            return None
        out[0 if filler == LEFT else digits - 1] = <char>(48 + odd)
        if filler == LEFT:
            data += 1
            out += 1
    for pair in range(digits >> 1):
        if not UNPACKED[data[pair]][0]:
            return None
        memcpy(out + 2 * pair, UNPACKED[data[pair]], 2)
    return text


cdef inline void pack(
    const unsigned char *digits, Py_ssize_t count, char *out, Py_ssize_t nibble
) noexcept nogil:
    """Write digits two in a byte from a nibble on, over zeros."""
    cdef Py_ssize_t at = 0
    if nibble & 1 and count:
        out[nibble >> 1] = <char>(out[nibble >> 1] | (digits[0] - 48))
        nibble += 1
        at = 1
    out += nibble >> 1
    while at + 1 < count:
        out[0] = <char>((digits[at] - 48) << 4 | (digits[at + 1] - 48))
        out += 1
        at += 2
    if at < count:
        out[0] = <char>((digits[at] - 48) << 4)


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
        if not 48 <= data[digit] <= 57:
            return -1
        number = number * 10 + data[digit] - 48
    return number


cdef inline Py_ssize_t length_at(const Field *field, const unsigned char *data) noexcept nogil:
    """Return the length that a prefix says, -1 where it is no number."""
    cdef Py_ssize_t number = 0
    cdef int at
    if not field.packed_prefix:
        return digits_at(data, field.prefix)
    for at in range(field.prefix):
        if data[at] >> 4 > 9 or data[at] & 15 > 9:
            return -1
        number = number * 100 + (data[at] >> 4) * 10 + (data[at] & 15)
    return number


cdef inline void put_length(const Field *field, char *out, Py_ssize_t number) noexcept nogil:
    cdef int at
    if not field.packed_prefix:
        put_digits(out, field.prefix, number)
        return
    for at in range(field.prefix - 1, -1, -1):
        out[at] = <char>((number // 10 % 10) << 4 | number % 10)
        number //= 100


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
    cdef int *stars
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
        self.stars = <int *>PyMem_Malloc(max(1, self.count) * sizeof(int))
        if self.fields is NULL or self.sizes is NULL or self.stars is NULL:
            raise MemoryError
        for at, item in enumerate(told.items):
            self.fields[at] = form_of(item.quick)
            self.stars[at] = star_of(item)
            self.sizes[at] = -1 if item.secret or item.size is None else item.size

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.sizes)
        PyMem_Free(self.stars)

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
        if begin[0] > stop or not all_of(data + at, self.tag_length, LETTERS):
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

    cdef bint star(self, bytes body, Py_ssize_t at, Py_ssize_t stop, bytearray masked) except -1:
        """Star what is secret between the two; False where the closures have to look, again from its start."""
        cdef Py_ssize_t begin, end, number
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
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
                continue
            end = -1
            if self.stars[number]:
                end = star_quick(
                    &self.fields[number], self.stars[number], data, at, stop, PyByteArray_AS_STRING(masked)
                )
            if end < 0:
                end = self.star_item(self.items[number], body, at, stop, masked)
            at = end
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


cdef enum:
    ALL = 1  # bytes that no charset makes a text
    PAN = 2
    PHONE = 3
    WORDS = 4  # a name or a secret as text: all but blanks behind it


cdef int star_of(object item):
    """Return how a field is starred; 0 where `star_item` has to."""
    if not item.about.sensitive or item.quick is None or item.charset == "cp500":
        return 0
    if not item.charset:
        return ALL
    return {"pan": PAN, "phone": PHONE}.get(item.about.sensitive, WORDS)


cdef Py_ssize_t star_quick(
    const Field *field, int star, const unsigned char *data, Py_ssize_t at, Py_ssize_t end, char *masked
) noexcept nogil:
    """Star one field in a copy of the data; return where it ends, -1 where it does not fit."""
    cdef Py_ssize_t size = field.size, place, core, first = 0, last = 0
    if field.prefix:
        if at + field.prefix > end:
            return -1
        size = length_at(field, data + at)
        at += field.prefix
        if size < 0 or size > field.limit:
            return -1
    if field.packed:
        size = (size + 1) >> 1
    if size > end - at:
        return -1
    core = size
    if star != ALL and between(data + at, size, 0, 127):
        while core and data[at + core - 1] == 32:
            core -= 1
        if star == PAN and core >= 13:
            first, last = 6, 4
        elif star == PHONE and core >= 8:
            first, last = 3, 4
    for place in range(first, core - last):
        masked[at + place] = 42
    return at + size


cdef class Masker:
    """Stars the fields of one bitmap in a copy of a body; see `iso_mask.make_masker`."""

    cdef list items, nests, bounds
    cdef Field *fields
    cdef Py_ssize_t *sizes
    cdef bint *secret
    cdef int *stars
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
        self.stars = <int *>PyMem_Malloc(max(1, self.count) * sizeof(int))
        if self.fields is NULL or self.sizes is NULL or self.secret is NULL or self.stars is NULL:
            raise MemoryError
        for at, item in enumerate(items):
            self.fields[at] = form_of(item.quick)
            self.stars[at] = star_of(item)
            self.secret[at] = item.secret
            self.sizes[at] = -1 if item.secret or item.size is None else item.size

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.sizes)
        PyMem_Free(self.secret)
        PyMem_Free(self.stars)

    def __call__(self, bytes body not None, Py_ssize_t at, bytearray masked not None):
        if at < 0 or at > PyBytes_GET_SIZE(body) or len(masked) != PyBytes_GET_SIZE(body):
            raise ValueError("the fields begin within the body, and its copy is as long")
        return self.star(body, at, masked)

    cdef Py_ssize_t star(self, bytes body, Py_ssize_t at, bytearray masked) except -1:
        """Star all fields from here on; return where they end."""
        cdef Py_ssize_t end = PyBytes_GET_SIZE(body), number, begin, stop, size
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef Nest nest
        for number in range(self.count):
            if 0 <= self.sizes[number] <= end - at:
                at += self.sizes[number]
                continue
            begin, stop = at, end
            nest = self.nests[number]
            if not self.secret[number]:
                if nest is not None and nest.bounds(body, &begin, &stop):
                    at = stop
                    continue
                begin, stop = at, end
                if self.fields[number].prefix and begin + self.fields[number].prefix <= end:
                    size = length_at(&self.fields[number], data + begin)
                    begin += self.fields[number].prefix
                    if 0 <= size <= self.fields[number].limit:
                        if self.fields[number].packed:
                            size = (size + 1) >> 1
                        if size <= end - begin:
                            at = begin + size
                            continue
                at = self.bounds[number](body, at, end)[1]
                continue
            if self.stars[number]:
                stop = star_quick(
                    &self.fields[number], self.stars[number], data, at, end, PyByteArray_AS_STRING(masked)
                )
                if stop >= 0:
                    at = stop
                    continue
                stop = end
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
    cdef PyObject **keys  # what `names` holds
    cdef Py_ssize_t count
    cdef list names, decoders, nests
    cdef dict bare, headed  # what a message of this shape has, without values: copying is the quickest way to one

    def __cinit__(self, items, star_item):
        self.names = [item.name for item in items]
        self.decoders = [item.decode for item in items]
        self.nests = nests_of(items, star_item)
        self.count = len(self.names)
        self.bare = dict.fromkeys(["mti", *self.names])
        self.headed = dict.fromkeys(["header", "mti", *self.names])
        self.fields = <Field *>PyMem_Malloc(max(1, self.count) * sizeof(Field))
        self.keys = <PyObject **>PyMem_Malloc(max(1, self.count) * sizeof(PyObject *))
        if self.fields is NULL or self.keys is NULL:
            raise MemoryError
        for at, item in enumerate(items):
            self.fields[at] = form_of(item.quick)
            self.keys[at] = <PyObject *>self.names[at]

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.keys)

    def __call__(self, bytes body not None, Py_ssize_t at, Py_ssize_t end, dict message not None):
        if at < 0 or end > PyBytes_GET_SIZE(body):
            raise ValueError("the fields begin and end within the body")
        return self.read(body, at, end, message)

    cdef Py_ssize_t read(self, bytes body, Py_ssize_t at, Py_ssize_t end, dict message) except -1:
        cdef Py_ssize_t number, stop
        cdef object value
        cdef const Field *field = self.fields
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef PyObject *quick
        for number in range(self.count):
            stop = at
            if field.quick:
                quick = quick_pointer(field, data, &stop, end)
                if quick is not NULL:
                    try:
                        set_item(<PyObject *>message, self.keys[number], quick)
                    finally:
                        Py_DECREF(quick)
                    at = stop
                    field += 1
                    continue
                value = None
            else:
                value = self.nests[number]
                if value is not None:
                    value = (<Nest>value).read(body, &stop, end)
            if value is None:
                value, stop = (<object>self.decoders[number])(body, at, end)
            at = stop
            set_item(<PyObject *>message, self.keys[number], <PyObject *>value)
            field += 1
        return at


cdef inline object quick_value(const Field *field, bytes body, Py_ssize_t *at, Py_ssize_t end):
    """Return a value of the commonest form and move `at` behind it; None for any other."""
    cdef PyObject *found = quick_pointer(field, <const unsigned char *>PyBytes_AS_STRING(body), at, end)
    if found is NULL:
        return None
    value = <object>found
    Py_DECREF(found)
    return value


cdef PyObject *quick_pointer(
    const Field *field, const unsigned char *data, Py_ssize_t *at, Py_ssize_t end
) except? NULL:
    """Return a new reference to a value of the commonest form and move `at` behind it; NULL for any other."""
    cdef Py_ssize_t begin = at[0], size = field.size, start, stop
    cdef object value
    cdef PyObject *text
    if field.prefix:
        if begin + field.prefix > end:
            return NULL
        size = length_at(field, data + begin)
        begin += field.prefix
        if size < 0 or size > field.limit:
            return NULL
    stop = begin + ((size + 1) >> 1 if field.packed else size)
    if stop > end:
        return NULL
    if field.packed:
        value = unpacked(data + begin, size, field.packed) if size else None
        if value is None:
            return NULL
        at[0] = stop
        Py_INCREF(<PyObject *>value)
        return <PyObject *>value
    if field.kind == BYTES:
        at[0] = stop
        return new_bytes(<const char *>data + begin, size)
    start = begin
    if field.strip and field.side == RIGHT:
        while stop > start and data[stop - 1] == <unsigned char>field.fill:
            stop -= 1
    elif field.strip:
        while start < stop and data[start] == <unsigned char>field.fill:
            start += 1
    if start == stop or not all_of(data + start, stop - start, field.kind):
        return NULL
    at[0] = begin + size
    text = new_text(stop - start, 127)
    memcpy(PyUnicode_DATA(<object>text), data + start, stop - start)
    return text


cdef struct Count:
    Py_ssize_t size  # of a header; 0 where nothing is known of its form
    unsigned char first
    Py_ssize_t offset
    int digits


cdef Count count_of(object counted):
    cdef Count count
    memset(&count, 0, sizeof(Count))
    if counted is not None:
        count.first, count.size, count.offset, count.digits = counted
    return count


cdef inline bint is_counted(const Count *count, bytes known, const unsigned char *data, Py_ssize_t end):
    """Tell whether the header here is the known one, and its count that of these bytes."""
    cdef Py_ssize_t after = count.offset + count.digits
    cdef const unsigned char *head = <const unsigned char *>PyBytes_AS_STRING(known)
    if not count.size or PyBytes_GET_SIZE(known) != count.size or end < count.size:
        return False
    if memcmp(data, head, count.offset) or memcmp(data + after, head + after, count.size - after):
        return False
    return digits_at(data + count.offset, count.digits) == end


cdef bint is_same(dict one, dict other):
    """Tell whether two tables hold the same plain values under the same names in the same order."""
    cdef Py_ssize_t at = 0, beside = 0
    cdef PyObject *name
    cdef PyObject *value
    cdef PyObject *other_name
    cdef PyObject *other_value
    if PyDict_Size(one) != PyDict_Size(other):
        return False
    while PyDict_Next(one, &at, &name, &value) and PyDict_Next(other, &beside, &other_name, &other_value):
        if name is not other_name and <object>name != <object>other_name:
            return False
        if value is other_value:
            continue
        kind = type(<object>value)
        if kind is not type(<object>other_value) or not (kind is str or kind is bytes or kind is int):
            return False
        if not PyObject_RichCompareBool(<object>value, <object>other_value, Py_EQ):
            return False
    return True


cdef class Decoder:
    """Reads whole messages whose bitmaps `readers` knows; `slow` reads all others, and says what is wrong.

    `head` reads a header, None where there is none; `refused` is what it and the fields' closures raise.
    """

    cdef dict readers, maskers
    cdef object slow, slow_mask, head, refused
    cdef Py_ssize_t mti_bytes, bytes_max
    cdef int bitmaps_max
    cdef bytes last_bitmap, mask_bitmap  # most messages have the shape and the type of the one before
    cdef Reader last_reader
    cdef Masker last_masker
    cdef object last_mti
    cdef Count count
    cdef bytes last_head
    cdef dict last_header

    def __cinit__(self, own, made, head, counted, mti, bitmaps_max, bytes_max, refused):
        self.slow, self.slow_mask, self.head, self.refused = own.decode, own.mask, head, refused
        self.readers, self.maskers = made.readers, made.maskers
        self.mti_bytes = 2 if mti.packed else 4
        self.bitmaps_max, self.bytes_max = bitmaps_max, bytes_max
        self.last_bitmap, self.mask_bitmap, self.last_mti, self.last_head = b"", b"", "0000", b""
        self.count = count_of(counted)

    def decode(self, bytes body not None):
        cdef dict message
        try:
            message = self.read(body)
        except self.refused:
            message = None
        return self.slow(body) if message is None else message

    cdef dict read(self, bytes body):
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef Py_ssize_t at = 0, end = PyBytes_GET_SIZE(body)
        cdef object header = None
        cdef dict message
        if self.head is not None:
            if is_counted(&self.count, self.last_head, data, end):
                header, at = PyDict_Copy(self.last_header), self.count.size
            else:
                header, at = self.head(body)
                self.keep_head(header, body)
        if end > self.bytes_max or at < 0 or end - at < self.mti_bytes + 8:
            return None
        if not self.read_mti(data + at):
            return None
        at += self.mti_bytes
        at = self.find_reader(data, at, end)
        if at < 0:
            return None
        if header is None:
            message = PyDict_Copy(self.last_reader.bare)
        else:
            message = PyDict_Copy(self.last_reader.headed)
            message["header"] = header
        message["mti"] = self.last_mti
        return message if self.last_reader.read(body, at, end, message) == end else None

    cdef int keep_head(self, object header, bytes body) except -1:
        """Keep what a header was read as, for the next message that has the same one but for its count."""
        cdef Py_ssize_t size = self.count.size
        if size and type(header) is dict and 0 < size <= PyBytes_GET_SIZE(body):
            if <unsigned char>PyBytes_AS_STRING(body)[0] == self.count.first:
                self.last_head = PyBytes_FromStringAndSize(PyBytes_AS_STRING(body), size)
                self.last_header = PyDict_Copy(header)
        return 0

    def mask(self, bytes body not None):
        """Return the body starred; `slow_mask` does it wherever the shape is not known, and says what is
        wrong."""
        cdef Py_ssize_t at = 0, end = PyBytes_GET_SIZE(body)
        cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
        cdef bytearray masked
        if self.count.size and end and data[0] == self.count.first:
            at = self.count.size
        at = self.find_masker(data, at + self.mti_bytes, end)
        if at < 0:
            return self.slow_mask(body)
        masked = PyByteArray_FromStringAndSize(<const char *>data, end)
        try:
            at = self.last_masker.star(body, at, masked)
        except self.refused:
            at = -1
        return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(masked), end) if at == end else self.slow_mask(body)

    cdef Py_ssize_t find_masker(self, const unsigned char *data, Py_ssize_t at, Py_ssize_t end):
        """Find what stars the fields of the bitmap here; return where they begin, -1 for an unknown one."""
        cdef Py_ssize_t size = self.bitmap_bytes(data, at, end)
        cdef PyObject *found
        cdef bytes bitmap
        if size < 0:
            return -1
        if PyBytes_GET_SIZE(self.mask_bitmap) != size or memcmp(
            data + at, PyBytes_AS_STRING(self.mask_bitmap), size
        ):
            bitmap = PyBytes_FromStringAndSize(<const char *>data + at, size)
            found = PyDict_GetItem(self.maskers, bitmap)
            if found is NULL or type(<object>found) is not Masker:
                return -1
            self.mask_bitmap, self.last_masker = bitmap, <Masker><object>found
        return at + size

    cdef Py_ssize_t bitmap_bytes(self, const unsigned char *data, Py_ssize_t at, Py_ssize_t end):
        """Return how many bytes of bitmaps stand here, -1 where they do not fit."""
        cdef Py_ssize_t size = 8
        while size <= end - at:
            if size >= 8 * self.bitmaps_max or not data[at + size - 8] & 0x80:
                return size
            size += 8
        return -1

    cdef bint read_mti(self, const unsigned char *data):
        """Read the message type; False for anything but four digits."""
        cdef object mti
        if self.mti_bytes == 2:
            mti = unpacked(data, 4, LEFT)
            if mti is None:
                return False
            self.last_mti = mti
        elif memcmp(data, PyUnicode_DATA(self.last_mti), 4):
            if not between(data, 4, 48, 57):
                return False
            self.last_mti = text_of(data, 4)
        return True

    cdef Py_ssize_t find_reader(self, const unsigned char *data, Py_ssize_t at, Py_ssize_t end):
        """Find what reads the fields of the bitmap here; return where they begin, -1 for an unknown one."""
        cdef Py_ssize_t size = self.bitmap_bytes(data, at, end)
        cdef PyObject *found
        cdef bytes bitmap
        if size < 0:
            return -1
        if PyBytes_GET_SIZE(self.last_bitmap) != size or memcmp(
            data + at, PyBytes_AS_STRING(self.last_bitmap), size
        ):
            bitmap = PyBytes_FromStringAndSize(<const char *>data + at, size)
            found = PyDict_GetItem(self.readers, bitmap)
            if found is NULL or type(<object>found) is not Reader:
                return -1
            self.last_bitmap, self.last_reader = bitmap, <Reader><object>found
        return at + size


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
        cdef Py_ssize_t number
        out.data, out.short, out.used, out.room = short, short, 0, 1024
        try:
            for number in range(self.count):
                self.put(number, message[self.names[number]], &out)
            return PyBytes_FromStringAndSize(out.data, out.used)
        finally:
            if out.data is not short:
                PyMem_Free(out.data)

    cdef int put(self, Py_ssize_t number, object value, Out *out) except -1:
        """Write one field."""
        cdef Py_ssize_t wanted = -1
        if self.fields[number].quick:
            wanted = quick_size(&self.fields[number], value)
        elif self.nests[number] is not None and (<Nest>self.nests[number]).put(value, out, True):
            return 0
        if wanted < 0:
            return put_bytes(out, (<object>self.encoders[number])(value))
        make_room(out, wanted)
        put_quick(&self.fields[number], value, out.data + out.used, wanted)
        out.used += wanted
        return 0


cdef enum:
    NAMES_MAX = 192
    SHAPES_MAX = 32


cdef class Shape:
    """The names of a message in its own order, and which field each of them is."""

    cdef tuple names
    cdef Py_ssize_t count
    cdef Py_ssize_t[NAMES_MAX] places  # of the writer's fields; below 0 for message type and header
    cdef bytes bitmaps
    cdef Writer writer

    def __cinit__(self, tuple names not None, bytes bitmaps not None, Writer writer not None):
        self.names, self.bitmaps, self.writer = names, bitmaps, writer
        self.count = len(names)
        order = {name: at for at, name in enumerate(writer.names)}
        for at, name in enumerate(names):
            self.places[at] = order.get(name, -1)

    cdef bint takes(self, dict message, PyObject **values):
        """Find the values of a message in the order of the wire; False for one of another shape."""
        cdef Py_ssize_t at = 0, number = 0
        cdef PyObject *name
        cdef PyObject *value
        while PyDict_Next(message, &at, &name, &value):
            if name is not <PyObject *>self.names[number] and <object>name != self.names[number]:
                return False
            if self.places[number] >= 0:
                values[self.places[number]] = value
            number += 1
        return True


cdef class Encoder:
    """Writes whole messages of the shapes that were added; `slow` writes all others, and says what is wrong.

    `head` writes a header, None where there is none; `refused` is what it and the fields' closures raise.
    """

    cdef list shapes
    cdef object slow, head, refused
    cdef bint packed_mti
    cdef Py_ssize_t bytes_max
    cdef Count count
    cdef bytes last_head
    cdef dict last_header

    def __cinit__(self, slow, head, counted, mti, bytes_max, refused):
        self.shapes, self.slow, self.head, self.refused = [], slow, head, refused
        self.packed_mti, self.bytes_max = bool(mti.packed), bytes_max
        self.count = count_of(counted)

    def add(self, tuple names not None, bytes bitmaps not None, writer):
        plain = "mti" in names and ("header" not in names or self.head is not None)
        if plain and type(writer) is Writer and len(names) <= NAMES_MAX and len(self.shapes) < SHAPES_MAX:
            self.shapes.append(Shape(names, bitmaps, writer))


    def encode(self, dict message not None):
        cdef PyObject *values[NAMES_MAX]
        cdef Py_ssize_t count = PyDict_Size(message)
        cdef Shape shape
        cdef bytes body = None
        for shape in self.shapes:
            if shape.count == count and shape.takes(message, values):
                try:
                    body = self.write(message, shape, values)
                except self.refused:
                    pass
                break
        return self.slow(message) if body is None else body

    cdef bytes write(self, dict message, Shape shape, PyObject **values):
        cdef char[1024] short
        cdef Out out
        cdef Py_ssize_t number, size
        cdef bytes head, body
        cdef object mti = message["mti"]
        if (
            type(mti) is not str
            or not PyUnicode_IS_COMPACT_ASCII(mti)
            or PyUnicode_GET_LENGTH(mti) != 4
            or not between(<const unsigned char *>PyUnicode_DATA(mti), 4, 48, 57)
        ):
            return None
        out.data, out.short, out.used, out.room = short, short, 4, 1024
        try:
            if self.packed_mti:
                out.used = 2
                memset(out.data, 0, 2)
                pack(<const unsigned char *>PyUnicode_DATA(mti), 4, out.data, 0)
            else:
                memcpy(out.data, PyUnicode_DATA(mti), 4)
            put_bytes(&out, shape.bitmaps)
            for number in range(shape.writer.count):
                shape.writer.put(number, <object>values[number], &out)
            head = b"" if self.head is None else self.head_of(message, out.used)
            size = PyBytes_GET_SIZE(head)
            if out.used + size > self.bytes_max:
                return None
            body = PyBytes_FromStringAndSize(NULL, size + out.used)
            memcpy(PyBytes_AS_STRING(body), PyBytes_AS_STRING(head), size)
            memcpy(PyBytes_AS_STRING(body) + size, out.data, out.used)
            if head is self.last_head:
                put_digits(PyBytes_AS_STRING(body) + self.count.offset, self.count.digits, size + out.used)
            return body
        finally:
            if out.data is not short:
                PyMem_Free(out.data)


    cdef bytes head_of(self, dict message, Py_ssize_t used):
        """Return the header of a message of so many bytes, but for the count where it is the last one again."""
        cdef object header = message.get("header") if self.count.size else None
        cdef bytes head
        cdef Py_ssize_t most = 1
        cdef int digit
        for digit in range(self.count.digits):
            most *= 10
        if type(header) is dict and self.last_header is not None and self.count.size + used < most:
            if is_same(<dict>header, self.last_header):
                return self.last_head
        head = self.head(message, used)
        if type(header) is dict and PyBytes_GET_SIZE(head) == self.count.size:
            self.last_head, self.last_header = head, PyDict_Copy(<dict>header)
        return head


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
    if field.kind == BYTES:
        if type(value) is not bytes:
            return -1
        size = PyBytes_GET_SIZE(value)
        if field.prefix:
            return field.prefix + size if size <= field.limit else -1
        return size if size == field.size else -1
    if type(value) is not str or not PyUnicode_IS_COMPACT_ASCII(value):
        return -1
    size = PyUnicode_GET_LENGTH(value)
    if size == 0 or not all_of(<const unsigned char *>PyUnicode_DATA(value), size, field.kind):
        return -1
    if field.prefix:
        if size > field.limit:
            return -1
    elif size == field.size or (field.side and size < field.size):
        size = field.size
    else:
        return -1
    return field.prefix + ((size + 1) >> 1 if field.packed else size)


cdef void put_quick(const Field *field, object value, char *out, Py_ssize_t wanted):
    """Write a value whose size is known."""
    cdef const char *data
    cdef Py_ssize_t size, digits
    if field.kind == BYTES:
        data, size = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
    else:
        data, size = <const char *>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value)
    if field.prefix:
        put_length(field, out, size)
        out += field.prefix
        wanted -= field.prefix
    if field.packed:
        memset(out, 0, wanted)
        digits = size if field.prefix else field.size
        pack(
            <const unsigned char *>data, size, out,
            digits - size + (1 if digits & 1 and field.packed == LEFT else 0),
        )
    elif field.side == LEFT:
        memset(out, field.fill, wanted - size)
        memcpy(out + wanted - size, data, size)
    else:
        memcpy(out, data, size)
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

    def retail(self, LibcryptoCipher other not None, bytes data not None):
        cdef unsigned char[8] out
        cdef unsigned char[8] rest
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), whole = size & ~<Py_ssize_t>7
        memset(out, 0, 8)
        if whole:
            self.sum(<const unsigned char *>PyBytes_AS_STRING(data), out, whole, self.schedule, out)
        if whole != size or not size:
            memset(rest, 0, 8)
            memcpy(rest, PyBytes_AS_STRING(data) + whole, size - whole)
            self.sum(rest, out, 8, self.schedule, out)
        other.ecb(out, rest, other.schedule, 0)
        self.ecb(rest, out, self.schedule, 1)
        return PyBytes_FromStringAndSize(<char *>out, 8)
