using System.Globalization;
using System.Text;

namespace Calico.Ctl.Output.Templates;

/// <summary>Reads the language of Go's text/template, as far as it makes sense for output: no templates in templates.</summary>
internal sealed class TemplateParser
{
    /// <summary>Deeper than this nobody nests; without a limit a template could exhaust the stack.</summary>
    private const int MaxDepth = 100;

    private readonly List<(bool IsAction, string Text, int Line)> _pieces;
    private int _next;
    private int _depth;
    private ActionReader _action = new("", 1);

    private TemplateParser(string template) => _pieces = Split(template);

    /// <exception cref="CtlException">The template is malformed; the message names its line.</exception>
    public static List<Node> Parse(string template)
    {
        var parser = new TemplateParser(template);
        var nodes = parser.Nodes(out var end);
        return end.Length == 0 ? nodes : throw parser._action.Error($"unexpected {{{{{end}}}}}");
    }

    // Up to the end of the template, or to the word that ends or divides a block.
    private List<Node> Nodes(out string end)
    {
        var nodes = new List<Node>();
        while (_next < _pieces.Count)
        {
            var (isAction, text, line) = _pieces[_next++];
            if (!isAction)
            {
                if (text.Length > 0)
                    nodes.Add(new TextNode(text));
                continue;
            }
            _action = new ActionReader(text, line);
            switch (_action.Word())
            {
                case "end" or "else":
                    end = _action.TakeWord();
                    return nodes;
                case "if":
                    _action.TakeWord();
                    nodes.Add(Block((value, then, otherwise) => new IfNode(value, then, otherwise)));
                    break;
                case "with":
                    _action.TakeWord();
                    nodes.Add(Block((value, then, otherwise) => new WithNode(value, then, otherwise)));
                    break;
                case "range":
                    _action.TakeWord();
                    nodes.Add(Block((value, then, otherwise) => new RangeNode(value, then, otherwise)));
                    break;
                case "break":
                    nodes.Add(new BreakNode());
                    break;
                case "continue":
                    nodes.Add(new ContinueNode());
                    break;
                case "define" or "template" or "block":
                    throw _action.Error($"{_action.Word()} is not supported here");
                default:
                    nodes.Add(new ActionNode(_action.WholePipeline()));
                    break;
            }
        }
        end = "";
        return nodes;
    }

    private Node Block(Func<Pipeline, List<Node>, List<Node>, Node> make)
    {
        if (++_depth > MaxDepth)
            throw _action.Error("blocks are nested too deeply");
        var opened = _action;
        var value = _action.WholePipeline();
        var then = Nodes(out var end);
        List<Node> otherwise = [];
        if (end == "else")
        {
            // {{else if X}} is an if inside the else that shares its end.
            switch (_action.Word())
            {
                case "if":
                    _action.TakeWord();
                    otherwise = [Block((v, t, o) => new IfNode(v, t, o))];
                    end = "end";
                    break;
                case "with":
                    _action.TakeWord();
                    otherwise = [Block((v, t, o) => new WithNode(v, t, o))];
                    end = "end";
                    break;
                default:
                    otherwise = Nodes(out end);
                    break;
            }
        }
        _depth--;
        return end == "end" ? make(value, then, otherwise) : throw opened.Error("the block has no {{end}}");
    }

    private static List<(bool IsAction, string Text, int Line)> Split(string template)
    {
        var pieces = new List<(bool, string, int)>();
        var trimNext = false;
        var at = 0;
        while (at <= template.Length)
        {
            var open = template.IndexOf("{{", at, StringComparison.Ordinal);
            var text = open < 0 ? template[at..] : template[at..open];
            if (trimNext)
                text = text.TrimStart();
            if (open < 0)
            {
                pieces.Add((false, text, 0));
                break;
            }
            var line = 1 + template.AsSpan(0, open).Count('\n');
            var close = End(template, open + 2);
            if (close < 0)
                throw new CtlException($"template:{line}: an action has no }}}}");
            var action = template[(open + 2)..close];
            if (action.StartsWith("- ", StringComparison.Ordinal) || action == "-")
            {
                text = text.TrimEnd();
                action = action[1..];
            }
            trimNext = action.EndsWith(" -", StringComparison.Ordinal);
            if (trimNext)
                action = action[..^1];
            pieces.Add((false, text, 0));
            if (!action.TrimStart().StartsWith("/*", StringComparison.Ordinal))
                pieces.Add((true, action, line));
            at = close + 2;
        }
        return pieces;
    }

    // Delimiters inside of strings do not count.
    private static int End(string template, int from)
    {
        char quote = default;
        for (var i = from; i + 1 < template.Length; i++)
        {
            if (quote == default && template[i] == '}' && template[i + 1] == '}')
                return i;
            if (quote != default && template[i] == '\\' && quote == '"')
                i++;
            else if (quote == template[i])
                quote = default;
            else if (quote == default && template[i] is '"' or '`')
                quote = template[i];
        }
        return -1;
    }

    /// <summary>Reads one action.</summary>
    private sealed class ActionReader(string text, int line)
    {
        private int _at;
        private int _depth;

        public CtlException Error(string what) => new($"template:{line}: {what} in {{{{{text}}}}}");

        public string Word()
        {
            Blanks();
            var end = _at;
            while (end < text.Length && char.IsAsciiLetter(text[end]))
                end++;
            return text[_at..end];
        }

        public string TakeWord()
        {
            var word = Word();
            _at += word.Length;
            return word;
        }

        public Pipeline WholePipeline()
        {
            var pipeline = ReadPipeline();
            Blanks();
            return _at == text.Length ? pipeline : throw Error($"unexpected '{text[_at..]}'");
        }

        private Pipeline ReadPipeline()
        {
            if (++_depth > MaxDepth)
                throw Error("parentheses are nested too deeply");
            var (variables, isDeclaration) = Variables();
            var commands = new List<List<Operand>>();
            do
            {
                var command = new List<Operand>();
                while (ReadOperand() is { } operand)
                    command.Add(operand);
                commands.Add(command.Count > 0 ? command : throw Error("a value is missing"));
            }
            while (Take('|'));
            _depth--;
            return new Pipeline(variables, isDeclaration, commands);
        }

        // $x := …, $x = …, and for range $i, $x := …
        private (List<string> Names, bool IsDeclaration) Variables()
        {
            var start = _at;
            var names = new List<string>();
            do
            {
                if (!Take('$'))
                    break;
                names.Add(Name());
            }
            while (Take(','));
            Blanks();
            if (names.Count > 0 && text.AsSpan(_at).StartsWith(":="))
            {
                _at += 2;
                return (names, true);
            }
            if (names.Count > 0 && Take('='))
                return (names, false);
            _at = start;
            return ([], false);
        }

        private Operand? ReadOperand()
        {
            Blanks();
            if (_at == text.Length || text[_at] is '|' or ')')
                return null;
            switch (text[_at])
            {
                case '(':
                    _at++;
                    var nested = ReadPipeline();
                    return Take(')') ? new Nested(nested, Path()) : throw Error("a parenthesis is not closed");
                case '.' when _at + 1 == text.Length || !char.IsAsciiDigit(text[_at + 1]):
                    var path = Path();
                    if (path.Count == 0)
                        _at++;
                    return new Field(path);
                case '$':
                    _at++;
                    return new Variable(Name(), Path());
                case '"' or '`':
                    return new Literal(Quoted());
                case var c when char.IsAsciiDigit(c) || c is '-' or '+' or '.':
                    return new Literal(Number());
                default:
                    return Name() switch
                    {
                        "" => throw Error($"unexpected '{text[_at]}'"),
                        "true" => new Literal(true),
                        "false" => new Literal(false),
                        "nil" => new Literal(null),
                        var name => new Function(name),
                    };
            }
        }

        private List<string> Path()
        {
            var path = new List<string>();
            while (_at + 1 < text.Length && text[_at] == '.' && (char.IsLetter(text[_at + 1]) || text[_at + 1] == '_'))
            {
                _at++;
                path.Add(Name());
            }
            return path;
        }

        private string Name()
        {
            var start = _at;
            while (_at < text.Length && (char.IsLetterOrDigit(text[_at]) || text[_at] == '_'))
                _at++;
            return text[start.._at];
        }

        private object Number()
        {
            var start = _at++;
            while (_at < text.Length && (char.IsAsciiHexDigit(text[_at]) || text[_at] is '.' or 'x' or '+' or '-' or '_'))
                _at++;
            var digits = text[start.._at];
            if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
                return whole;
            return double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : throw Error($"'{digits}' is no number");
        }

        private string Quoted()
        {
            var quote = text[_at++];
            var value = new StringBuilder();
            for (; _at < text.Length; _at++)
            {
                if (text[_at] == quote)
                {
                    _at++;
                    return value.ToString();
                }
                if (text[_at] == '\\' && quote == '"' && _at + 1 < text.Length)
                {
                    value.Append(text[++_at] switch
                    {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        var other => other,
                    });
                }
                else
                {
                    value.Append(text[_at]);
                }
            }
            throw Error("a string has no end");
        }

        private bool Take(char wanted)
        {
            Blanks();
            if (_at == text.Length || text[_at] != wanted)
                return false;
            _at++;
            return true;
        }

        private void Blanks()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
                _at++;
        }
    }
}
