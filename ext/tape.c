/* The tape: stamps of plain chunks, in a plain buffer. */

#include "speed.h"

/* Stamps are looked at when this many wait: at first as many as a timeline keeps, so that most
 * streams need no look before their end, and few once it is full. */
#define FIRST_BATCH (2 * 65536)
#define BATCH (2 * 2048)
#define FIRST_CAPACITY 32

int64_t
called_clock_ns(Tape *tape)
{
    PyObject *reading = PyObject_CallNoArgs(tape->clock);
    if (reading == NULL) {
        return -1;
    }
    int64_t now = PyLong_AsLongLong(reading);
    Py_DECREF(reading);
    return now;
}

static int
resize(Tape *tape, Py_ssize_t capacity)
{
    int64_t *stamps = PyMem_Realloc(tape->stamps, (size_t)capacity * sizeof(int64_t));
    if (stamps == NULL) {
        return -1;
    }
    tape->stamps = stamps;
    tape->capacity = capacity;
    return 0;
}

/* Keep a pair of stamps. Where there is no memory for it, the chunk is counted as lost. */
static inline void
append(Tape *tape, int64_t requested, int64_t arrived)
{
    if (tape->count == tape->capacity) {
        Py_ssize_t capacity = tape->capacity ? 2 * (tape->capacity / 8) * 5 : FIRST_CAPACITY;
        if (capacity > tape->batch && tape->count < tape->batch) {
            capacity = tape->batch; /* full is then when it is to be looked at */
        }
        if (resize(tape, capacity) < 0) {
            tape->lost++;
            return;
        }
    }
    tape->stamps[tape->count++] = requested;
    tape->stamps[tape->count++] = arrived;
}

/* Whether text looks like raw server-sent events, which Python's reader warns of. */
static int
looks_raw(PyObject *chunk, PyTypeObject *kind)
{
    Py_UCS4 first = 0, second = 0;
    if (kind == &PyUnicode_Type && PyUnicode_GET_LENGTH(chunk) > 1) {
        first = PyUnicode_READ_CHAR(chunk, 0);
        second = PyUnicode_READ_CHAR(chunk, 1);
    }
    else if (kind == &PyBytes_Type && PyBytes_GET_SIZE(chunk) > 1) {
        first = (unsigned char)PyBytes_AS_STRING(chunk)[0];
        second = (unsigned char)PyBytes_AS_STRING(chunk)[1];
    }
    /* "data:" or "event:"; a word that only begins alike is read by Python, and read right. */
    return (first == 'd' && second == 'a') || (first == 'e' && second == 'v');
}

/* Whether this chunk is the first plain one, and needs no look of Python's. */
static inline int
is_first_plain(Tape *tape, PyObject *chunk, PyTypeObject *kind)
{
    return tape->reads_plainly && is_plain(chunk, kind) && !looks_raw(chunk, kind);
}

static int
call_flush(Body *self)
{
    PyObject *done = PyObject_CallMethodNoArgs(self->run, self->tape->state->name_flush);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

/* Have Python read a chunk. */
static int
call_read(Body *self, PyObject *chunk, const Request *request, int64_t arrived)
{
    int result = -1;
    PyObject *requested_ns = PyLong_FromLongLong(request->requested);
    PyObject *arrived_ns = PyLong_FromLongLong(arrived);
    if (requested_ns != NULL && arrived_ns != NULL) {
        PyObject *arguments[] = {self->run, chunk, requested_ns, arrived_ns};
        size_t count = 4 | PY_VECTORCALL_ARGUMENTS_OFFSET;
        PyObject *done = PyObject_VectorcallMethod(
            self->tape->state->name_read, arguments, count, NULL);
        result = done == NULL ? -1 : 0;
        Py_XDECREF(done);
    }
    Py_XDECREF(requested_ns);
    Py_XDECREF(arrived_ns);
    return result;
}

int
look_at_chunk(Body *self, PyObject *chunk, const Request *request, int64_t arrived)
{
    Tape *tape = self->tape;
    PyTypeObject *kind = Py_TYPE(chunk);
    int result = 0;
    if (kind == tape->plain && is_plain(chunk, kind)) {
        append(tape, request->requested, arrived);
        if (tape->count >= tape->batch) {
            result = call_flush(self);
        }
    }
    else if (!tape->is_over) {
        if (tape->plain == NULL && request->under_way == NOT_ASKED
            && is_first_plain(tape, chunk, kind)) {
            tape->plain = kind;
            append(tape, request->requested, arrived);
        }
        else {
            result = call_read(self, chunk, request, arrived);
        }
    }
    if (result < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear(); /* a failure of ours costs the stamps, never the chunk */
        tape->lost++;
        result = 0;
    }
    if (result == 0) {
        tape->requested = NOT_ASKED;
    }
    return result;
}

/* --- what Python sees --------------------------------------------------------------------------- */

static PyObject *
tape_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *clock;
    int reads_plainly;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Tape takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "Op:Tape", &clock, &reads_plainly)) {
        return NULL;
    }
    Tape *tape = (Tape *)type->tp_alloc(type, 0);
    if (tape == NULL) {
        return NULL;
    }
    tape->state = PyType_GetModuleState(type);
    tape->clock = is_our_clock(tape->state, clock) ? NULL : Py_NewRef(clock);
    tape->reads_plainly = (char)reads_plainly;
    tape->requested = NOT_ASKED;
    tape->batch = FIRST_BATCH;
    return (PyObject *)tape;
}

static int
tape_traverse(Tape *tape, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(tape));
    Py_VISIT(tape->clock);
    return 0;
}

static int
tape_clear(Tape *tape)
{
    Py_CLEAR(tape->clock);
    return 0;
}

static void
tape_dealloc(Tape *tape)
{
    PyTypeObject *type = Py_TYPE(tape);
    PyObject_GC_UnTrack(tape);
    Py_CLEAR(tape->clock);
    PyMem_Free(tape->stamps);
    type->tp_free(tape);
    Py_DECREF(type);
}

int
is_tape(PyObject *object)
{
    return Py_TYPE(object)->tp_dealloc == (destructor)tape_dealloc;
}

PyDoc_STRVAR(take_doc,
"take()\n--\n\n"
"Give the stamps that wait as bytes (unsigned, 64 bits, request and arrival in turn), and\n"
"forget them.");

static PyObject *
tape_take(Tape *tape, PyObject *Py_UNUSED(ignored))
{
    if (tape->lost) {
        PyErr_Format(PyExc_RuntimeError, "the stamps of %zd chunks could not be kept", tape->lost);
        tape->lost = 0;
        return NULL;
    }
    PyObject *taken = PyBytes_FromStringAndSize(
        (const char *)tape->stamps, tape->count * (Py_ssize_t)sizeof(int64_t));
    if (taken == NULL) {
        return NULL;
    }
    if (tape->count >= FIRST_BATCH) {
        tape->batch = BATCH;
    }
    tape->count = 0;
    if (tape->is_over || tape->capacity > BATCH) {
        PyMem_Free(tape->stamps);
        tape->stamps = NULL;
        tape->capacity = 0;
    }
    return taken;
}

PyDoc_STRVAR(end_doc,
"end()\n--\n\n"
"Take no chunk from now on: the run is over. Give when the request that was under way was made;\n"
"it is no longer.");

static PyObject *
tape_end(Tape *tape, PyObject *Py_UNUSED(ignored))
{
    tape->is_over = 1;
    tape->plain = NULL;
    if (tape->count > FIRST_CAPACITY) {
        (void)resize(tape, tape->count); /* to less: what is kept stays where that fails */
    }
    int64_t under_way = tape->requested;
    tape->requested = NOT_ASKED;
    return stamp_or_none(under_way);
}

static PyObject *
tape_get_requested(Tape *tape, void *Py_UNUSED(closure))
{
    return stamp_or_none(tape->requested);
}

static int
tape_set_requested(Tape *tape, PyObject *value, void *Py_UNUSED(closure))
{
    int64_t requested = NOT_ASKED;
    if (value != NULL && value != Py_None) {
        requested = PyLong_AsLongLong(value);
        if (requested < 0 && PyErr_Occurred()) {
            return -1;
        }
    }
    tape->requested = requested;
    return 0;
}

/* Python's hands, where they read on this tape, leave every chunk to the recorder. */
static PyObject *
tape_get_plain(Tape *Py_UNUSED(tape), void *Py_UNUSED(closure))
{
    Py_RETURN_NONE;
}

static int
tape_set_plain(Tape *tape, PyObject *value, void *Py_UNUSED(closure))
{
    PyTypeObject *const known[] = {&PyUnicode_Type, &PyBytes_Type, &PyLong_Type};
    if (value != Py_None && tape->plain != NULL) {
        return 0; /* the first plain chunk said it; Python, which is not told, asks again */
    }
    tape->plain = NULL;
    for (int place = 0; place < 3 && !tape->is_over; place++) {
        if (value == (PyObject *)known[place]) {
            tape->plain = known[place];
        }
    }
    return 0;
}

static PyObject *
tape_get_clock(Tape *tape, void *Py_UNUSED(closure))
{
    return Py_NewRef(tape->clock == NULL ? tape->state->clock : tape->clock);
}

static PyObject *
tape_get_waits(Tape *tape, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(tape->count > 0 || tape->lost > 0);
}

static PyMethodDef tape_methods[] = {
    {"take", (PyCFunction)tape_take, METH_NOARGS, take_doc},
    {"end", (PyCFunction)tape_end, METH_NOARGS, end_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tape_attributes[] = {
    {"requested_ns", (getter)tape_get_requested, (setter)tape_set_requested, NULL, NULL},
    {"plain", (getter)tape_get_plain, (setter)tape_set_plain, NULL, NULL},
    {"waits", (getter)tape_get_waits, NULL, NULL, NULL},
    {"clock", (getter)tape_get_clock, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(tape_doc,
"Tape(clock, reads_plainly, /)\n--\n\n"
"The stamps of one run that nobody has looked at yet: _tape.Tape, for the compiled driver.");

static PyType_Slot tape_slots[] = {
    {Py_tp_doc, (void *)tape_doc},
    {Py_tp_new, tape_new},
    {Py_tp_dealloc, tape_dealloc},
    {Py_tp_traverse, tape_traverse},
    {Py_tp_clear, tape_clear},
    {Py_tp_methods, tape_methods},
    {Py_tp_getset, tape_attributes},
    {0, NULL},
};

PyType_Spec tape_spec = {
    .name = "tokenclock._speed.Tape",
    .basicsize = sizeof(Tape),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = tape_slots,
};
