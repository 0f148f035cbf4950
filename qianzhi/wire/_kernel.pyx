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


cdef class Reader:
    """Reads the fields of one bitmap; see `iso_plan.make_reader`."""

    cdef Field *fields
    cdef Py_ssize_t count
    cdef list names, decoders

    def __cinit__(self, items):
        self.names = [item.name for item in items]
        self.decoders = [item.decode for item in items]
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
            if value is None:
                value, stop = (<object>self.decoders[number])(body, at, end)
            at = stop
            message[self.names[number]] = value
        return at


cdef object quick_value(const Field *field, bytes body, Py_ssize_t *at, Py_ssize_t end):
    """Return a value of the commonest form and move `at` behind it; None for any other."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef Py_ssize_t begin = at[0], size = field.size, start, stop
    cdef int digit
    if field.prefix:
        if begin + field.prefix > end:
            return None
        size = 0
        for digit in range(field.prefix):
            if not KINDS[data[begin + digit]] & DIGIT:
                return None
            size = size * 10 + data[begin + digit] - 48
        begin += field.prefix
        if size > field.limit:
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
    cdef list names, encoders

    def __cinit__(self, items):
        self.names = [item.name for item in items]
        self.encoders = [item.encode for item in items]
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
        cdef char *out = short
        cdef Py_ssize_t room = 1024, used = 0, number, wanted
        cdef bytes data
        cdef object value
        try:
            for number in range(self.count):
                value = message[self.names[number]]
                wanted = -1
                if self.fields[number].quick:
                    wanted = quick_size(&self.fields[number], value)
                if wanted < 0:
                    data = (<object>self.encoders[number])(value)
                    wanted = PyBytes_GET_SIZE(data)
                else:
                    data = None
                if wanted > room - used:
                    room = (used + wanted) * 2
                    out = grown(out, short, used, room)
                if data is not None:
                    memcpy(out + used, PyBytes_AS_STRING(data), wanted)
                else:
                    put_quick(&self.fields[number], value, out + used, wanted)
                used += wanted
            return PyBytes_FromStringAndSize(out, used)
        finally:
            if out is not short:
                PyMem_Free(out)


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
    cdef Py_ssize_t size, length
    cdef int digit
    if field.binary:
        memcpy(out, PyBytes_AS_STRING(value), wanted)
        return
    size = PyUnicode_GET_LENGTH(value)
    if field.prefix:
        length = size
        for digit in range(field.prefix - 1, -1, -1):
            out[digit] = <char>(48 + length % 10)
            length //= 10
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
    cdef list names, writers
    cdef bint cups, empty
    cdef bytes join

    def __cinit__(self, given, joining):
        self.names = [field.name for field in given]
        self.writers = [field.write for field in given]
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
        cdef char[1024] own
        cdef char *out = short
        cdef const char *source
        cdef Py_ssize_t room = 2048, used = 0, number, size, joint = PyBytes_GET_SIZE(self.join)
        cdef bint first = True
        cdef bytes data
        cdef object value
        try:
            for number in range(self.count):
                value = message.get(self.names[number])
                if value is None and not self.empty:
                    continue
                size = 0
                source = own
                data = b""
                if value is not None:
                    size = quick_size(&self.fields[number], value) if self.fields[number].quick else -1
                    if 0 <= size <= 1024:
                        put_quick(&self.fields[number], value, own, size)
                    else:
                        data = (<object>self.writers[number])(value)
                        source, size = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
                    if self.takes[number] and size > self.takes[number]:
                        size = self.takes[number]
                if used + joint + size > room:
                    room = (used + joint + size) * 2
                    out = grown(out, short, used, room)
                if not first:
                    memcpy(out + used, PyBytes_AS_STRING(self.join), joint)
                    used += joint
                first = False
                if self.cups:
                    used += select_cups(<const unsigned char *>source, size, <unsigned char *>out + used)
                else:
                    memcpy(out + used, source, size)
                    used += size
            return PyBytes_FromStringAndSize(out, used)
        finally:
            if out is not short:
                PyMem_Free(out)


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
