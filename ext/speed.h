/* The compiled driver of measured streams: what its files share.
 *
 * It does what the hands in _hands.py do, and no more: stamp and append. What stamps mean is
 * decided in Python, by the run of each stream (_recorder.py, _runs.py).
 */

#ifndef TOKENCLOCK_SPEED_H
#define TOKENCLOCK_SPEED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define NOT_ASKED (-1) /* no request is under way; stamps are never negative */

typedef struct body Body;
typedef struct step Step;

#define MOST_FREE_STEPS 16

/* What one interpreter has of this module. */
typedef struct {
    PyTypeObject *tape_type;
    PyTypeObject *body_type;
    PyTypeObject *iterator_type;
    PyTypeObject *generator_type;
    PyTypeObject *async_iterator_type;
    PyTypeObject *async_generator_type;
    PyTypeObject *step_type;           /* for what an async generator gives */
    PyTypeObject *coroutine_step_type; /* for coroutines, which are no iterators */
    /* Of _hands.py: a step raised; the caller closed; closing raised. */
    PyObject *step_raised;
    PyObject *closed;
    PyObject *close_failed;
    PyObject *clock; /* time.perf_counter_ns */
    /* Names of what is called on runs and originals. */
    PyObject *name_read;
    PyObject *name_flush;
    PyObject *name_finish;
    PyObject *completed; /* an outcome */
    PyObject *name_stopped;
    PyObject *name_send;
    PyObject *name_throw;
    PyObject *name_close;
    PyObject *name_asend;
    PyObject *name_athrow;
    PyObject *name_aclose;
    PyObject *in_finaliser; /* keywords of a call: ("in_finaliser",) */
    /* The streams one of whose steps is on some stack; the last one to begin comes first. */
    Body *under_way;
    /* Steps that are over, for the next ones: each token of an async stream takes one. */
    Step *free_steps[MOST_FREE_STEPS];
    int free_step_count;
} State;

/* The stamps of one run that nobody has looked at yet. */
typedef struct {
    PyObject_HEAD
    State *state;
    PyTypeObject *plain;  /* the exact type of chunks that need no reading, or NULL */
    PyObject *clock;      /* a clock of the user's, or NULL: time.perf_counter_ns */
    int64_t *stamps;      /* request and arrival in turn */
    Py_ssize_t count;     /* of stamps */
    Py_ssize_t capacity;  /* of stamps */
    Py_ssize_t batch;     /* Python is to look when this many wait */
    Py_ssize_t lost;      /* chunks whose stamps could not be kept */
    int64_t requested;    /* when the request under way was made, or NOT_ASKED */
    char reads_plainly;   /* whether no function of the user's has to see every chunk */
    char is_over;         /* whether the run is over: later chunks pass unmeasured */
} Tape;

/* A measured stream. */
struct body {
    PyObject_HEAD
    PyObject *original;
    PyObject *run;
    PyObject *owner; /* who has to be dropped for the run to end, or None: this object */
    PyObject *observed;
    PyObject *weak_references;
    Tape *tape;
    /* While a step is on the stack: the frame that drives it, and the neighbours in the list. */
    PyFrameObject *driver;
    Body *older;
    Body *newer;
    char is_under_way;
};

extern PyType_Spec tape_spec, body_spec, iterator_spec, generator_spec, async_iterator_spec,
    async_generator_spec, step_spec, coroutine_step_spec;

/* --- the clock: the same as time.perf_counter_ns() ------------------------------------------- */

#if defined(__linux__)
#include <time.h>
static inline int64_t
monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#elif PY_VERSION_HEX >= 0x030D0000
static inline int64_t
monotonic_ns(void)
{
    PyTime_t now = 0;
    (void)PyTime_PerfCounterRaw(&now);
    return (int64_t)now;
}
#else
static inline int64_t
monotonic_ns(void)
{
    return (int64_t)_PyTime_GetPerfCounter();
}
#endif

/* Read a clock that is called: give -1 with an exception set where that raises. */
int64_t called_clock_ns(Tape *tape);

static inline int64_t
now_ns(Tape *tape)
{
    return tape->clock == NULL ? monotonic_ns() : called_clock_ns(tape);
}

/* Whether this is time.perf_counter_ns itself, and not what stands in for it in a test that has the
 * time stand still. */
static inline int
is_our_clock(State *state, PyObject *clock)
{
    return clock == state->clock && PyCFunction_Check(clock);
}

/* --- the tape --------------------------------------------------------------------------------- */

/* What was under way before a request, and when that request was made. */
typedef struct {
    int64_t requested;
    int64_t under_way;
} Request;

/* Note a request: -1 with an exception set if the user's clock raised. */
static inline int
ask(Tape *tape, Request *request)
{
    int64_t requested = now_ns(tape);
    if (requested < 0) {
        return -1;
    }
    request->requested = requested;
    request->under_way = tape->requested;
    if (request->under_way != NOT_ASKED) {
        /* Another thread reads this stream too: no stamps side by side. */
        tape->plain = NULL;
    }
    tape->requested = requested;
    return 0;
}

/* Whether this is a Tape. */
int is_tape(PyObject *object);

/* Whether a chunk is one token, by its exact type; empty text is none. */
static inline int
is_plain(PyObject *chunk, PyTypeObject *kind)
{
    if (kind == &PyUnicode_Type) {
        return PyUnicode_GET_LENGTH(chunk) != 0;
    }
    if (kind == &PyBytes_Type) {
        return PyBytes_GET_SIZE(chunk) != 0;
    }
    return kind == &PyLong_Type; /* the id of a token, which may be 0 */
}

/* Put a chunk that arrived for a request where it belongs: -1 with an exception set if that raised,
 * which only an interrupt does. */
int look_at_chunk(Body *self, PyObject *chunk, const Request *request, int64_t arrived);

/* A chunk came: the same, at once for most. */
static inline int
chunk_came(Body *self, PyObject *chunk, const Request *request)
{
    Tape *tape = self->tape;
    int64_t arrived = now_ns(tape);
    PyTypeObject *kind = Py_TYPE(chunk);
    if (arrived < 0) {
        return -1;
    }
    if (kind == tape->plain && tape->count < tape->capacity - 2 && is_plain(chunk, kind)) {
        tape->stamps[tape->count++] = request->requested;
        tape->stamps[tape->count++] = arrived;
        tape->requested = NOT_ASKED;
        return 0;
    }
    return look_at_chunk(self, chunk, request, arrived);
}

/* --- steps on the stack ------------------------------------------------------------------------ */

static inline int
step_begins(Body *self)
{
    State *state = self->tape->state;
    if (self->is_under_way) {
        return 0;
    }
    self->is_under_way = 1;
    self->driver = PyEval_GetFrame();
    self->newer = NULL;
    self->older = state->under_way;
    if (self->older != NULL) {
        self->older->newer = self;
    }
    state->under_way = self;
    return 1;
}

static inline void
step_ends(Body *self, int has_begun)
{
    if (!has_begun) {
        return;
    }
    self->is_under_way = 0;
    if (self->newer != NULL) {
        self->newer->older = self->older;
    }
    else {
        self->tape->state->under_way = self->older;
    }
    if (self->older != NULL) {
        self->older->newer = self->newer;
    }
}

/* --- the end of a step -------------------------------------------------------------------------- */

/* Tell the run that a step gave nothing more. The exception that is set, if any, stays set. */
void step_exhausted(Body *self, const Request *request);

/* Tell the run that a step raised what is set, which stays set; *stop* says "nothing more". */
void step_failed(Body *self, const Request *request, PyObject *stop, int was_thrown);

/* Tell the run that the caller closed the stream: -1 with an exception set if that raised. */
int tell_closed(Body *self);

/* Tell the run that closing raised what is set, which stays set. */
void tell_close_failed(Body *self);

/* --- helpers ------------------------------------------------------------------------------------- */

/* The exception that is set, as an object with its traceback; a new reference, or NULL. */
PyObject *take_exception(void);
/* Set it again; steals the reference. */
void give_exception(PyObject *error);
/* A stamp as an int, or None where there is none; a new reference. */
PyObject *stamp_or_none(int64_t stamp);
/* Raise StopIteration with a value, whatever the value is; gives NULL. */
PyObject *stop_iteration_with(PyObject *value);

/* Make the awaitable of one step; steals *awaitable*. */
typedef enum { STEP_NEXT, STEP_THROW, STEP_CLOSE } StepKind;
PyObject *step_around(Body *self, PyObject *awaitable, StepKind kind);
/* Give the memory of steps back that are over. */
void clear_free_steps(State *state);

/* Whether the stream is whole: NULL with an exception set where the collector took it apart. */
static inline int
is_whole(Body *self)
{
    if (self->original != NULL && self->tape != NULL) {
        return 1;
    }
    PyErr_SetString(PyExc_ReferenceError, "the measured stream no longer exists");
    return 0;
}

#endif
