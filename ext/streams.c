/* Measured streams: the types that the stand-ins for iterators and generators inherit from.
 *
 * Each step is one function in one piece, as the hands in _hands.py are: the order of events in
 * it is its meaning.
 */

#include "speed.h"
#include <structmember.h>

/* --- what all of them are ---------------------------------------------------------------------- */

static PyObject *
body_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *original, *run, *observed, *owner;
    Tape *tape;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "a measured stream takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "OOOOO", &original, &run, &tape, &observed, &owner)) {
        return NULL;
    }
    if (!is_tape((PyObject *)tape)) {
        PyErr_SetString(PyExc_TypeError, "a measured stream needs the Tape of its run");
        return NULL;
    }
    Body *self = (Body *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->original = Py_NewRef(original);
    self->run = Py_NewRef(run);
    self->observed = Py_NewRef(observed);
    self->owner = Py_NewRef(owner);
    self->tape = (Tape *)Py_NewRef((PyObject *)tape);
    return (PyObject *)self;
}

static int
body_traverse(Body *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->original);
    Py_VISIT(self->run);
    Py_VISIT(self->observed);
    Py_VISIT(self->owner);
    Py_VISIT(self->tape);
    return 0;
}

static int
body_clear(Body *self)
{
    Py_CLEAR(self->original);
    Py_CLEAR(self->run);
    Py_CLEAR(self->observed);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->tape);
    return 0;
}

/* A stream that is dropped before its end was stopped by the caller. */
static void
body_finalize(Body *self)
{
    if (self->tape == NULL || self->run == NULL || self->tape->is_over
        || self->owner != Py_None) {
        return;
    }
    PyObject *error = take_exception();
    PyObject *arguments[] = {self->run, Py_True};
    PyObject *told = PyObject_VectorcallMethod(
        self->tape->state->name_stopped, arguments, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
        self->tape->state->in_finaliser);
    if (told == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(told);
    give_exception(error);
}

static void
body_dealloc(Body *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has it again */
    }
    PyObject_GC_UnTrack(self);
    if (self->tape != NULL) {
        step_ends(self, self->is_under_way); /* nothing is left on the list of what is gone */
    }
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)body_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef body_members[] = {
    {"_tc_original", T_OBJECT_EX, offsetof(Body, original), READONLY, NULL},
    {"_tc_run", T_OBJECT_EX, offsetof(Body, run), READONLY, NULL},
    {"_tc_observed", T_OBJECT_EX, offsetof(Body, observed), READONLY, NULL},
    {"_tc_owner", T_OBJECT_EX, offsetof(Body, owner), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Body, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot body_slots[] = {
    {Py_tp_new, body_new},
    {Py_tp_dealloc, body_dealloc},
    {Py_tp_finalize, body_finalize},
    {Py_tp_traverse, body_traverse},
    {Py_tp_clear, body_clear},
    {Py_tp_members, body_members},
    {0, NULL},
};

#define STREAM_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE) /* the rest is inherited */

PyType_Spec body_spec = {
    .name = "tokenclock._speed.Body",
    .basicsize = sizeof(Body),
    .flags = STREAM_FLAGS | Py_TPFLAGS_HAVE_GC,
    .slots = body_slots,
};

/* --- iterators ---------------------------------------------------------------------------------- */

/* Tell the run why no chunk came: there is no more, or a step raised. */
static inline void
no_chunk_came(Body *self, const Request *request)
{
    if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_StopIteration)) {
        step_exhausted(self, request);
    }
    else {
        step_failed(self, request, PyExc_StopIteration, 0);
    }
}

static PyObject *
iterator_next(Body *self)
{
    Request request;
    if (!is_whole(self) || ask(self->tape, &request) < 0) {
        return NULL;
    }
    PyObject *original = self->original;
    Py_INCREF(self); /* who asks in C may only lend it, and the body let it go */
    int has_begun = step_begins(self);
    PyObject *chunk = Py_TYPE(original)->tp_iternext(original);
    step_ends(self, has_begun);
    if (chunk == NULL) {
        no_chunk_came(self, &request);
    }
    else if (chunk_came(self, chunk, &request) < 0) {
        Py_CLEAR(chunk);
    }
    Py_DECREF(self);
    return chunk;
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

PyType_Spec iterator_spec = {
    .name = "tokenclock._speed.Iterator",
    .basicsize = sizeof(Body),
    .flags = STREAM_FLAGS,
    .slots = iterator_slots,
};

/* --- generators --------------------------------------------------------------------------------- */

static PyObject *
itself(PyObject *self)
{
    return Py_NewRef(self);
}

static PySendResult
sent_to_generator(Body *self, PyObject *value, PyObject **given)
{
    Request request;
    if (ask(self->tape, &request) < 0) {
        return PYGEN_ERROR;
    }
    int has_begun = step_begins(self);
    PySendResult how = PyIter_Send(self->original, value, given);
    step_ends(self, has_begun);
    if (how == PYGEN_NEXT) {
        return chunk_came(self, *given, &request) < 0 ? PYGEN_ERROR : PYGEN_NEXT;
    }
    if (how == PYGEN_ERROR) {
        no_chunk_came(self, &request);
        return PYGEN_ERROR;
    }
    step_exhausted(self, &request);
    return PyErr_Occurred() ? PYGEN_ERROR : PYGEN_RETURN; /* an interrupt, while the run was told */
}

/* What ``yield from`` calls: a value that is returned travels without a StopIteration. */
static PySendResult
generator_am_send(Body *self, PyObject *value, PyObject **given)
{
    *given = NULL;
    if (!is_whole(self)) {
        return PYGEN_ERROR;
    }
    Py_INCREF(self); /* as above */
    PySendResult how = sent_to_generator(self, value, given);
    if (how == PYGEN_ERROR) {
        Py_CLEAR(*given);
    }
    Py_DECREF(self);
    return how;
}

/* Call a method of the original with the caller's own arguments. */
static PyObject *
forwarded(Body *self, PyObject *name, PyObject *const *arguments, Py_ssize_t count,
          PyObject *keywords)
{
    PyObject *method = PyObject_GetAttr(self->original, name);
    if (method == NULL) {
        return NULL;
    }
    PyObject *given = PyObject_Vectorcall(method, arguments, (size_t)count, keywords);
    Py_DECREF(method);
    return given;
}

static PyObject *
step_with(Body *self, PyObject *name, PyObject *const *arguments, Py_ssize_t count,
          PyObject *keywords, int throws)
{
    Request request;
    if (ask(self->tape, &request) < 0) {
        return NULL;
    }
    Py_INCREF(self); /* as above */
    int has_begun = step_begins(self);
    PyObject *chunk = forwarded(self, name, arguments, count, keywords);
    step_ends(self, has_begun);
    if (chunk == NULL) {
        step_failed(self, &request, PyExc_StopIteration, throws);
    }
    else if (chunk_came(self, chunk, &request) < 0) {
        Py_CLEAR(chunk);
    }
    Py_DECREF(self);
    return chunk;
}

static PyObject *
generator_send(Body *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    return step_with(self, self->tape->state->name_send, arguments, count, keywords, 0);
}

static PyObject *
generator_throw(Body *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    return step_with(self, self->tape->state->name_throw, arguments, count, keywords, 1);
}

static PyObject *
generator_close(Body *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    Py_INCREF(self); /* as above */
    int has_begun = step_begins(self);
    PyObject *given = forwarded(self, self->tape->state->name_close, arguments, count, keywords);
    step_ends(self, has_begun);
    if (given == NULL) {
        tell_close_failed(self);
    }
    else if (tell_closed(self) < 0) {
        Py_CLEAR(given);
    }
    Py_DECREF(self);
    return given;
}

#define WITH_ARGUMENTS (METH_FASTCALL | METH_KEYWORDS)
#define METHOD(function) (PyCFunction)(void (*)(void))(function)

PyDoc_STRVAR(send_doc,
"send($self, value, /)\n--\n\n"
"Send a value into the generator: its next chunk, or StopIteration.");
PyDoc_STRVAR(throw_doc,
"throw(value)\nthrow(type[,value[,tb]])\n\n"
"Raise an exception in the generator: its next chunk, or StopIteration.");
PyDoc_STRVAR(close_doc,
"close($self, /)\n--\n\n"
"Raise GeneratorExit in the generator, which ends it.");

static PyMethodDef generator_methods[] = {
    {"send", METHOD(generator_send), WITH_ARGUMENTS, send_doc},
    {"throw", METHOD(generator_throw), WITH_ARGUMENTS, throw_doc},
    {"close", METHOD(generator_close), WITH_ARGUMENTS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot generator_slots[] = {
    {Py_tp_iter, itself},
    {Py_tp_iternext, iterator_next},
    {Py_am_send, generator_am_send},
    {Py_tp_methods, generator_methods},
    {0, NULL},
};

PyType_Spec generator_spec = {
    .name = "tokenclock._speed.Generator",
    .basicsize = sizeof(Body),
    .flags = STREAM_FLAGS,
    .slots = generator_slots,
};

/* --- async iterators and generators ------------------------------------------------------------- */

static PyObject *
async_iterator_next(Body *self)
{
    if (!is_whole(self)) {
        return NULL;
    }
    PyObject *original = self->original;
    PyAsyncMethods *methods = Py_TYPE(original)->tp_as_async;
    if (methods == NULL || methods->am_anext == NULL) { /* somebody took it away meanwhile */
        PyErr_Format(PyExc_TypeError,
                     "'async for' requires an object with __anext__ method, got %.100s",
                     Py_TYPE(original)->tp_name);
        return NULL;
    }
    PyObject *awaitable = methods->am_anext(original);
    if (awaitable == NULL) {
        Request request;
        PyObject *error = take_exception();
        if (ask(self->tape, &request) < 0) {
            Py_XDECREF(error);
            return NULL;
        }
        give_exception(error);
        step_failed(self, &request, PyExc_StopAsyncIteration, 0);
        return NULL;
    }
    return step_around(self, awaitable, STEP_NEXT);
}

static PyType_Slot async_iterator_slots[] = {
    {Py_am_anext, async_iterator_next},
    {0, NULL},
};

PyType_Spec async_iterator_spec = {
    .name = "tokenclock._speed.AsyncIterator",
    .basicsize = sizeof(Body),
    .flags = STREAM_FLAGS,
    .slots = async_iterator_slots,
};

static PyObject *
async_step(Body *self, PyObject *name, PyObject *const *arguments, Py_ssize_t count,
           PyObject *keywords, StepKind kind)
{
    PyObject *awaitable = forwarded(self, name, arguments, count, keywords);
    return awaitable == NULL ? NULL : step_around(self, awaitable, kind);
}

static PyObject *
async_generator_asend(Body *self, PyObject *const *arguments, Py_ssize_t count,
                      PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    return async_step(
        self, self->tape->state->name_asend, arguments, count, keywords, STEP_NEXT);
}

static PyObject *
async_generator_athrow(Body *self, PyObject *const *arguments, Py_ssize_t count,
                       PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    return async_step(
        self, self->tape->state->name_athrow, arguments, count, keywords, STEP_THROW);
}

static PyObject *
async_generator_aclose(Body *self, PyObject *const *arguments, Py_ssize_t count,
                       PyObject *keywords)
{
    if (!is_whole(self)) {
        return NULL;
    }
    return async_step(
        self, self->tape->state->name_aclose, arguments, count, keywords, STEP_CLOSE);
}

PyDoc_STRVAR(asend_doc,
"asend($self, value, /)\n--\n\n"
"Send a value into the async generator; to be awaited.");
PyDoc_STRVAR(athrow_doc,
"athrow(value)\nathrow(type[,value[,tb]])\n\n"
"Raise an exception in the async generator; to be awaited.");
PyDoc_STRVAR(aclose_doc,
"aclose($self, /)\n--\n\n"
"Raise GeneratorExit in the async generator, which ends it; to be awaited.");

static PyMethodDef async_generator_methods[] = {
    {"asend", METHOD(async_generator_asend), WITH_ARGUMENTS, asend_doc},
    {"athrow", METHOD(async_generator_athrow), WITH_ARGUMENTS, athrow_doc},
    {"aclose", METHOD(async_generator_aclose), WITH_ARGUMENTS, aclose_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot async_generator_slots[] = {
    {Py_am_aiter, itself},
    {Py_am_anext, async_iterator_next},
    {Py_tp_methods, async_generator_methods},
    {0, NULL},
};

PyType_Spec async_generator_spec = {
    .name = "tokenclock._speed.AsyncGenerator",
    .basicsize = sizeof(Body),
    .flags = STREAM_FLAGS,
    .slots = async_generator_slots,
};
