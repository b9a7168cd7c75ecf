#include "cli/modes.h"

#include <stdlib.h>
#include <string.h>

enum { GROUND, ESCAPE, CHARSET, CSI, TEXT, TEXT_ESCAPE };

/* ESC [ ? NUMBER h sets a mode, l resets it.  `dirty` is the one that has to be undone. */
static const struct mode {
    int number;
    char dirty;
    const char *undo;
} modes_table[] = {
    {1049, 'h', "\033[?1049l"},         /* alternate screens come first: what follows is for the normal one */
    {1047, 'h', "\033[?1047l"},
    {47,   'h', "\033[?47l"},
    {1,    'h', "\033[?1l"},            /* cursor keys for applications */
    {5,    'h', "\033[?5l"},            /* reverse video */
    {6,    'h', "\033[?6l"},            /* origin */
    {7,    'l', "\033[?7h"},            /* wrap at the margin */
    {9,    'h', "\033[?9l"},            /* mouse, from here … */
    {1000, 'h', "\033[?1000l"},
    {1001, 'h', "\033[?1001l"},
    {1002, 'h', "\033[?1002l"},
    {1003, 'h', "\033[?1003l"},
    {1005, 'h', "\033[?1005l"},
    {1006, 'h', "\033[?1006l"},
    {1015, 'h', "\033[?1015l"},
    {1016, 'h', "\033[?1016l"},         /* … to here */
    {1004, 'h', "\033[?1004l"},         /* reports of the focus */
    {25,   'l', "\033[?25h"},           /* the cursor is visible */
    {66,   'h', "\033>"},               /* keypad for applications */
    {69,   'h', "\033[?69l"},           /* left and right margins */
    {2004, 'h', "\033[?2004l"},         /* marks around what is pasted */
    {2026, 'h', "\033[?2026l"},         /* output is held back */
    {2031, 'h', "\033[?2031l"},         /* reports of the colours */
};
#define MODES (sizeof modes_table / sizeof *modes_table)

/* What is no private mode. */
enum { INSERT = MODES, REGION, CURSOR_SHAPE, COLOURS, CHARSETS, OTHER_KEYS, CHANGES };
_Static_assert(CHANGES <= 32, "a bit each");

static const char *const other_undo[] = {
    [INSERT - MODES] = "\033[4l",
    [REGION - MODES] = "\0337\033[r\0338",      /* which moves the cursor */
    [CURSOR_SHAPE - MODES] = "\033[0 q",
    [COLOURS - MODES] = "\033[m",
    [CHARSETS - MODES] = "\017\033(B",
    [OTHER_KEYS - MODES] = "\033[>4m",
};

void cf_modes_init(struct cf_modes *modes)
{
    memset(modes, 0, sizeof *modes);
}

static void change(struct cf_modes *modes, unsigned bit, bool dirty)
{
    if (dirty)
        modes->changed |= UINT32_C(1) << bit;
    else
        modes->changed &= ~(UINT32_C(1) << bit);
}

static void private_modes(struct cf_modes *modes, char final)
{
    for (const char *at = modes->params + 1; *at;) {
        char *end;
        long number = strtol(at, &end, 10);

        for (unsigned i = 0; i < MODES; i++)
            if (modes_table[i].number == number)
                change(modes, i, modes_table[i].dirty == final);
        at = *end ? end + 1 : end;
    }
}

/* ESC [ > … u stacks keyboard modes, ESC [ < n u takes them off. */
static void keyboard(struct cf_modes *modes)
{
    unsigned long count = strtoul(modes->params + 1, NULL, 10);

    if (modes->params[0] == '>' && modes->pushed < 99)
        modes->pushed++;
    else if (modes->params[0] == '<')
        modes->pushed -= count > modes->pushed ? modes->pushed : count == 0 && modes->pushed > 0 ? 1 : (unsigned)count;
}

static void csi(struct cf_modes *modes, char final)
{
    const char *params = modes->params;
    size_t len = modes->params_len;

    if (*params == '?' && (final == 'h' || final == 'l'))
        private_modes(modes, final);
    else if (strcmp(params, "4") == 0 && (final == 'h' || final == 'l'))
        change(modes, INSERT, final == 'h');
    else if (len == 0 && final == 'r')
        change(modes, REGION, false);
    else if (*params >= '0' && *params <= ';' && final == 'r')
        change(modes, REGION, true);
    else if (len > 0 && params[len - 1] == ' ' && final == 'q')
        change(modes, CURSOR_SHAPE, true);
    else if (final == 'm' && *params == '>')
        change(modes, OTHER_KEYS, params[1] == '4' && params[2] == ';');
    else if (final == 'm' && *params != '?')
        change(modes, COLOURS, len > 0 && strcmp(params, "0") != 0);
    else if (final == 'u')
        keyboard(modes);
}

static void shifted(struct cf_modes *modes, unsigned char c)
{
    if (c == 0x0e)
        change(modes, CHARSETS, true);
}

static int escape(struct cf_modes *modes, unsigned char c)
{
    modes->params_len = 0;
    modes->params[0] = '\0';
    if (c == '[')
        return CSI;
    if (c != 0 && strchr("]P_^X", c))
        return TEXT;
    if (c == '(' || c == ')')
        return CHARSET;
    if (c == '=' || c == '>')
        for (unsigned i = 0; i < MODES; i++)
            if (modes_table[i].number == 66)
                change(modes, i, c == '=');
    if (c == 'c')
        cf_modes_init(modes);           /* everything was set back */
    return c == '\033' ? ESCAPE : GROUND;
}

static int csi_byte(struct cf_modes *modes, unsigned char c)
{
    if (c >= 0x40 && c <= 0x7e) {
        csi(modes, (char)c);
        return GROUND;
    }
    if (c < 0x20 || c > 0x7e)
        return c == 0x1b ? ESCAPE : c == 0x18 || c == 0x1a ? GROUND : CSI;
    if (modes->params_len + 1 < sizeof modes->params) {
        modes->params[modes->params_len++] = (char)c;
        modes->params[modes->params_len] = '\0';
    }
    return CSI;
}

void cf_modes_feed(struct cf_modes *modes, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];

        if (modes->state == GROUND) {
            modes->state = c == 0x1b ? ESCAPE : GROUND;
            shifted(modes, c);
        } else if (modes->state == ESCAPE) {
            modes->state = escape(modes, c);
        } else if (modes->state == CHARSET) {
            change(modes, CHARSETS, c != 'B');
            modes->state = GROUND;
        } else if (modes->state == CSI) {
            modes->state = csi_byte(modes, c);
        } else if (modes->state == TEXT) {
            modes->state = c == 0x07 || c == 0x18 || c == 0x1a ? GROUND : c == 0x1b ? TEXT_ESCAPE : TEXT;
        } else {
            modes->state = c == '\\' ? GROUND : escape(modes, c);
        }
    }
}

void cf_modes_undo(struct cf_modes *modes, struct cf_buf *out)
{
    if (modes->state == TEXT || modes->state == TEXT_ESCAPE)
        cf_buf_puts(out, "\033\\");     /* ends the text */
    else if (modes->state != GROUND)
        cf_buf_puts(out, "\030");       /* CAN: forgets the sequence */
    for (unsigned i = 0; i < CHANGES; i++)
        if (modes->changed & UINT32_C(1) << i)
            cf_buf_puts(out, i < MODES ? modes_table[i].undo : other_undo[i - MODES]);
    if (modes->pushed > 0)
        cf_buf_printf(out, "\033[<%uu", modes->pushed);
    cf_modes_init(modes);
}
