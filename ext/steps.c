/* The awaitables of async streams: one step each.
 *
 * A step stands in for what the original gave for it, a coroutine or what an async generator
 * gives, drives that, and passes results and exceptions through untouched. The caller asks when
 * it awaits, not when it calls.
 */

#include "speed.h"
#include <structmember.h>

typedef enum { NEW, BEGUN, OVER } Progress;

struct step {
    PyObject_HEAD
    Body *stream;
    PyObject *awaitable; /* what the original gave */
    PyObject *driven;    /* what its await drives, from the first resumption on */
    PyObject *weak_references;
    Request request;
    StepKind kind;
    Progress progress;
    char is_awaited;     /* whether ``await`` or a task resumed it last, not a call */
    char is_thrown_into; /* whether the caller began it with an exception */
    char is_finalised;   /* which Python does once for each object: no other step may follow */
};

static Step *
new_step(State *state, PyObject *awaitable)
{
    PyTypeObject *type =
        PyCoro_CheckExact(awaitable) ? state->coroutine_step_type : state->step_type;
    if (state->free_step_count == 0) {
        return (Step *)type->tp_alloc(type, 0);
    }
    Step *step = state->free_steps[--state->free_step_count];
    (void)PyObject_Init((PyObject *)step, type);
    step->driven = step->weak_references = NULL;
    PyObject_GC_Track(step);
    return step;
}

PyObject *
step_around(Body *self, PyObject *awaitable, StepKind kind)
{
    PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
    if (!PyCoro_CheckExact(awaitable) && (methods == NULL || methods->am_await == NULL)) {
        return awaitable; /* which cannot be awaited: that is for Python to say */
    }
    Step *step = new_step(self->tape->state, awaitable);
    if (step == NULL) {
        Py_DECREF(awaitable);
        return NULL;
    }
    step->stream = (Body *)Py_NewRef((PyObject *)self);
    step->awaitable = awaitable;
    step->kind = kind;
    step->progress = NEW;
    step->is_awaited = step->is_thrown_into = 0;
    return (PyObject *)step;
}

/* Find what to drive, as ``await`` would. */
static int
find_driven(Step *self)
{
    if (self->driven != NULL) {
        return 0;
    }
    if (PyCoro_CheckExact(self->awaitable)) {
        self->driven = Py_NewRef(self->awaitable);
        return 0;
    }
    self->driven = Py_TYPE(self->awaitable)->tp_as_async->am_await(self->awaitable);
    return self->driven == NULL ? -1 : 0;
}

static inline int
is_a_request(Step *self)
{
    return self->kind != STEP_CLOSE;
}

/* Note the request, if this is the first resumption. */
static inline int
begin(Step *self)
{
    if (self->awaitable == NULL || (self->progress != OVER && !is_whole(self->stream))) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ReferenceError, "the measured stream no longer exists");
        }
        return -1;
    }
    if (find_driven(self) < 0) {
        return -1;
    }
    if (self->progress != NEW) {
        return 0;
    }
    self->progress = BEGUN;
    return is_a_request(self) ? ask(self->stream->tape, &self->request) : 0;
}

/* One that is over may have let its stream go, and the collector takes streams apart. */
static inline int
drive_begins(Step *self)
{
    return self->stream != NULL && self->stream->tape != NULL && step_begins(self->stream);
}

/* Let the stream go where a coroutine that is over would. */
static inline void
let_go(Step *self)
{
    if (PyCoro_CheckExact(self->awaitable)) {
        Py_CLEAR(self->stream); /* whose finaliser keeps what is raised, as all do */
    }
}

/* The step gave its value: -1 with an exception set if taking it raised. */
static int
gave(Step *self, PyObject *value)
{
    if (self->progress != BEGUN || self->stream->tape == NULL) {
        return 0;
    }
    self->progress = OVER;
    int taken = is_a_request(self) ? chunk_came(self->stream, value, &self->request)
                                   : tell_closed(self->stream);
    let_go(self);
    return taken;
}

/* Whether this awaits a coroutine that has not ended: it refused what it was told. */
static int
goes_on(Step *self)
{
    if (!PyCoro_CheckExact(self->awaitable)) {
        return 0; /* of what an async generator gives, the generator knows */
    }
    PyObject *error = take_exception();
    PyObject *frame = PyObject_GetAttrString(self->awaitable, "cr_frame");
    int is_alive = frame != NULL && frame != Py_None;
    Py_XDECREF(frame);
    give_exception(error);
    return is_alive;
}

/* Take the request back that this resumption was: the coroutine has not begun. */
static inline void
take_back(Step *self)
{
    self->progress = NEW;
    if (is_a_request(self)) {
        self->stream->tape->requested = self->request.under_way;
    }
}

/* The step raised what is set, at its first resumption or a later one. */
static void
raised(Step *self, Progress before)
{
    if (self->progress != BEGUN || self->stream->tape == NULL) {
        return;
    }
    if (goes_on(self)) {
        if (before == NEW) {
            take_back(self);
        }
        return;
    }
    self->progress = OVER;
    if (is_a_request(self)) {
        step_failed(self->stream, &self->request, PyExc_StopAsyncIteration,
                    self->kind == STEP_THROW || self->is_thrown_into);
    }
    else {
        tell_close_failed(self->stream);
    }
    let_go(self);
}

static PySendResult
drive(Step *self, PyObject *value, PyObject **given)
{
    Progress before = self->progress;
    *given = NULL;
    if (begin(self) < 0) {
        return PYGEN_ERROR;
    }
    Body *stream = (Body *)Py_XNewRef((PyObject *)self->stream);
    Py_INCREF(self); /* who asks in C may only lend it, and the body let it go */
    int has_begun = drive_begins(self);
    PySendResult how = PyIter_Send(self->driven, value, given);
    step_ends(stream, has_begun);
    if (how == PYGEN_RETURN && gave(self, *given) < 0) {
        Py_CLEAR(*given);
        how = PYGEN_ERROR;
    }
    else if (how == PYGEN_ERROR) {
        raised(self, before);
    }
    Py_DECREF(self);
    Py_XDECREF(stream);
    return how;
}

static PySendResult
step_am_send(Step *self, PyObject *value, PyObject **given)
{
    self->is_awaited = 1;
    return drive(self, value, given);
}

static PyObject *
sent(Step *self, PyObject *value)
{
    PyObject *given;
    self->is_awaited = 0;
    PySendResult how = drive(self, value, &given);
    if (how == PYGEN_RETURN) {
        stop_iteration_with(given);
        Py_CLEAR(given);
    }
    return given;
}

static PyObject *
step_next(Step *self)
{
    return sent(self, Py_None);
}

PyDoc_STRVAR(send_doc, "send(value)\n--\n\nResume the step with a value.");

static PyObject *
step_send(Step *self, PyObject *value)
{
    return sent(self, value);
}

/* Take what a method of what is driven gave: a StopIteration carries the step's value. */
static PyObject *
resumed(Step *self, PyObject *given, Progress before)
{
    if (given != NULL) {
        return given;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        raised(self, before);
        return NULL;
    }
    PyObject *stop = take_exception();
    PyObject *value = PyObject_GetAttrString(stop, "value");
    int taken = value == NULL ? -1 : gave(self, value);
    Py_XDECREF(value);
    if (taken < 0) {
        Py_DECREF(stop);
        return NULL;
    }
    give_exception(stop);
    return NULL;
}

PyDoc_STRVAR(throw_doc, "throw(error, /)\n--\n\nResume the step with an exception.");

static PyObject *
step_throw(Step *self, PyObject *const *arguments, Py_ssize_t count)
{
    Progress before = self->progress;
    int is_answered_unbegun =
        before == NEW && self->awaitable != NULL && PyCoro_CheckExact(self->awaitable);
    if (is_answered_unbegun ? find_driven(self) < 0 : begin(self) < 0) {
        return NULL;
    }
    self->is_thrown_into = before == NEW;
    PyObject *method = PyObject_GetAttrString(self->driven, "throw");
    if (method == NULL) {
        return NULL;
    }
    Body *stream = (Body *)Py_XNewRef((PyObject *)self->stream);
    Py_INCREF(self); /* as above */
    int has_begun = drive_begins(self);
    PyObject *given = PyObject_Vectorcall(method, arguments, (size_t)count, NULL);
    step_ends(stream, has_begun);
    Py_DECREF(method);
    if (is_answered_unbegun && !goes_on(self)) {
        self->progress = OVER;
        let_go(self);
    }
    given = resumed(self, given, before);
    Py_DECREF(self);
    Py_XDECREF(stream);
    return given;
}

PyDoc_STRVAR(close_doc, "close()\n--\n\nEnd the step where it waits.");

static PyObject *
step_close(Step *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *driven = self->driven == NULL ? self->awaitable : self->driven;
    if (driven == NULL) {
        PyErr_SetString(PyExc_ReferenceError, "the measured stream no longer exists");
        return NULL;
    }
    Body *stream = (Body *)Py_XNewRef((PyObject *)self->stream);
    Py_INCREF(self); /* as above */
    int has_begun = drive_begins(self);
    PyObject *given = PyObject_CallMethod(driven, "close", NULL);
    step_ends(stream, has_begun);
    if (given == NULL) {
        raised(self, BEGUN);
    }
    else if (self->progress == BEGUN) { /* it was told to go where it waited */
        PyErr_SetNone(PyExc_GeneratorExit);
        raised(self, BEGUN);
        if (PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
            PyErr_Clear();
        }
        else {
            Py_CLEAR(given);
        }
    }
    else if (self->progress == NEW) {
        self->progress = OVER;
        let_go(self);
    }
    Py_DECREF(self);
    Py_XDECREF(stream);
    return given;
}

/* --- questions: the original's awaitable answers them ------------------------------------------- */

static PyObject *
step_getattro(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)
        || ((Step *)self)->awaitable == NULL) {
        return found;
    }
    PyErr_Clear();
    return PyObject_GetAttr(((Step *)self)->awaitable, name);
}

static PyObject *
step_repr(Step *self)
{
    return self->awaitable == NULL ? PyUnicode_FromString("<step>")
                                   : PyObject_Repr(self->awaitable);
}

static PyObject *
step_class(Step *self, void *Py_UNUSED(closure))
{
    PyObject *asked = self->awaitable == NULL ? (PyObject *)self : self->awaitable;
    return Py_NewRef((PyObject *)Py_TYPE(asked));
}

static PyObject *
step_itself(PyObject *self)
{
    return Py_NewRef(self);
}

/* ``await`` asks this of bare coroutines alone: two awaits would meet in one body. What anext()
 * gives with a default comes here before each of its calls. */
static PyObject *
step_await(Step *self)
{
    if (self->progress == BEGUN && self->is_awaited && self->awaitable != NULL
        && PyCoro_CheckExact(self->awaitable)) {
        PyObject *waits_for = PyObject_GetAttrString(self->awaitable, "cr_await");
        int is_awaited = waits_for != NULL && waits_for != Py_None;
        Py_XDECREF(waits_for);
        if (is_awaited) {
            PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    return Py_NewRef((PyObject *)self);
}

/* --- its life ------------------------------------------------------------------------------------ */

static int
step_traverse(Step *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->stream);
    Py_VISIT(self->awaitable);
    Py_VISIT(self->driven);
    return 0;
}

static int
step_clear(Step *self)
{
    /* First what is awaited: to a body that it still runs, the stream is there. */
    Py_CLEAR(self->driven);
    Py_CLEAR(self->awaitable);
    Py_CLEAR(self->stream);
    return 0;
}

/* One that is dropped where it waits: a coroutine is closed, an async generator left as it is. */
static void
step_finalize(Step *self)
{
    self->is_finalised = 1;
    if (self->progress != BEGUN || self->awaitable == NULL || self->stream->tape == NULL) {
        return;
    }
    PyObject *error = take_exception();
    if (PyCoro_CheckExact(self->awaitable)) {
        PyObject *closed = step_close(self, NULL);
        if (closed == NULL) {
            PyErr_WriteUnraisable(self->awaitable);
        }
        Py_XDECREF(closed);
    }
    else if (is_a_request(self)) {
        self->stream->tape->requested = self->request.under_way;
    }
    give_exception(error);
}

static void
step_dealloc(Step *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->progress == BEGUN && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has it again */
    }
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)step_clear(self);
    State *state = PyType_GetModuleState(type);
    if (state != NULL && !self->is_finalised && state->free_step_count < MOST_FREE_STEPS) {
        state->free_steps[state->free_step_count++] = self;
    }
    else {
        if (state == NULL) {
            PyErr_Clear(); /* the interpreter takes its modules down */
        }
        type->tp_free(self);
    }
    Py_DECREF(type);
}

void
clear_free_steps(State *state)
{
    while (state->free_step_count > 0) {
        PyObject_GC_Del(state->free_steps[--state->free_step_count]);
    }
}

static PyMethodDef step_methods[] = {
    {"send", (PyCFunction)step_send, METH_O, send_doc},
    {"throw", (PyCFunction)(void (*)(void))step_throw, METH_FASTCALL, throw_doc},
    {"close", (PyCFunction)step_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef step_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Step, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef step_attributes[] = {
    {"__class__", (getter)step_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define SLOTS_OF_STEPS                                                                             \
    {Py_tp_dealloc, step_dealloc}, {Py_tp_finalize, step_finalize},                                \
        {Py_tp_traverse, step_traverse}, {Py_tp_clear, step_clear},                                \
        {Py_tp_getattro, step_getattro}, {Py_tp_repr, step_repr}, {Py_tp_iternext, step_next},     \
        {Py_am_await, step_await}, {Py_am_send, step_am_send}, {Py_tp_methods, step_methods},     \
        {Py_tp_members, step_members}, {Py_tp_getset, step_attributes}

static PyType_Slot step_slots[] = {
    SLOTS_OF_STEPS,
    {Py_tp_iter, step_itself},
    {0, NULL},
};

/* Coroutines are no iterators. */
static PyType_Slot coroutine_step_slots[] = {
    SLOTS_OF_STEPS,
    {0, NULL},
};

#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
#define STEP_FLAGS \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#else
#define STEP_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC)
#endif

PyType_Spec step_spec = {
    .name = "tokenclock._speed.Step",
    .basicsize = sizeof(Step),
    .flags = STEP_FLAGS,
    .slots = step_slots,
};

PyType_Spec coroutine_step_spec = {
    .name = "tokenclock._speed.CoroutineStep",
    .basicsize = sizeof(Step),
    .flags = STEP_FLAGS,
    .slots = coroutine_step_slots,
};
