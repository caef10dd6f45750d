using System.Collections;
using System.Text;
using System.Text.Json;

namespace Calico.Ctl.Output.Templates;

/// <summary>
/// Output by a template in Go's language, as Calico's tool takes it. Templates name fields as Go's types do
/// (<c>.ObjectMeta.Name</c>, <c>.Spec.NATOutgoing</c>); they are found in the JSON without regard to case.
/// </summary>
internal sealed class GoTemplate
{
    private readonly List<Node> _nodes;
    private readonly TemplateFunctions _functions;
    private readonly StringBuilder _output = new();
    private readonly List<(string Name, object? Value)> _variables = [];

    private enum Flow
    {
        Next,
        Break,
        Continue,
    }

    /// <param name="template">The template's text.</param>
    /// <param name="settings">What the function <c>config</c> knows.</param>
    /// <exception cref="CtlException">The template is malformed.</exception>
    public GoTemplate(string template, Func<string, string> settings)
    {
        _nodes = TemplateParser.Parse(template);
        _functions = new TemplateFunctions(settings);
    }

    /// <exception cref="CtlException">The template does not fit the values.</exception>
    public string Render(IReadOnlyList<JsonElement> resources)
    {
        _output.Clear();
        _variables.Clear();
        object root = resources.Select(TemplateValues.From).ToList();
        _variables.Add(("", root));
        Run(_nodes, root);
        return _output.ToString();
    }

    private Flow Run(List<Node> nodes, object? dot)
    {
        var scope = _variables.Count;
        var flow = Flow.Next;
        foreach (var node in nodes)
        {
            flow = Run(node, dot);
            if (flow != Flow.Next)
                break;
        }
        _variables.RemoveRange(scope, _variables.Count - scope);
        return flow;
    }

    private Flow Run(Node node, object? dot)
    {
        switch (node)
        {
            case TextNode text:
                _output.Append(text.Text);
                return Flow.Next;
            case ActionNode action:
                var value = Evaluate(action.Pipeline, dot);
                if (action.Pipeline.Variables.Count == 0)
                    _output.Append(TemplateValues.Text(value));
                return Flow.Next;
            case IfNode choice:
                return Scoped(() => Run(TemplateValues.IsTrue(Evaluate(choice.Condition, dot)) ? choice.Then : choice.Otherwise, dot));
            case WithNode with:
                return Scoped(() =>
                {
                    var inner = Evaluate(with.Value, dot);
                    return TemplateValues.IsTrue(inner) ? Run(with.Then, inner) : Run(with.Otherwise, dot);
                });
            case RangeNode range:
                return Scoped(() => Range(range, dot));
            case BreakNode:
                return Flow.Break;
            default:
                return Flow.Continue;
        }
    }

    // Variables of the condition live as long as the block.
    private Flow Scoped(Func<Flow> body)
    {
        var scope = _variables.Count;
        var flow = body();
        _variables.RemoveRange(scope, _variables.Count - scope);
        return flow;
    }

    private Flow Range(RangeNode range, object? dot)
    {
        var items = TemplateValues.Items(Evaluate(range.Items with { Variables = [] }, dot)).ToList();
        if (items.Count == 0)
            return Run(range.WhenEmpty, dot);
        foreach (var (key, item) in items)
        {
            var scope = _variables.Count;
            if (range.Items.Variables is [.., var last])
            {
                if (range.Items.Variables.Count > 1)
                    _variables.Add((range.Items.Variables[0], key));
                _variables.Add((last, item));
            }
            var flow = Run(range.Body, item);
            _variables.RemoveRange(scope, _variables.Count - scope);
            if (flow == Flow.Break)
                break;
        }
        return Flow.Next;
    }

    private object? Evaluate(Pipeline pipeline, object? dot)
    {
        object? value = null;
        for (var i = 0; i < pipeline.Commands.Count; i++)
            value = Evaluate(pipeline.Commands[i], dot, i > 0, value);
        if (pipeline.Variables is [var name, ..])
            Set(name, value, pipeline.IsDeclaration);
        return value;
    }

    private object? Evaluate(List<Operand> command, object? dot, bool isPiped, object? piped)
    {
        if (command[0] is Function function)
        {
            List<object?> arguments = [.. command.Skip(1).Select(o => Value(o, dot))];
            if (isPiped)
                arguments.Add(piped);
            return _functions.Call(function.Name, arguments);
        }
        return command.Count == 1 && !isPiped ? Value(command[0], dot) : throw new CtlException("template: only functions take arguments");
    }

    private object? Value(Operand operand, object? dot) => operand switch
    {
        Literal literal => literal.Value,
        Field field => TemplateValues.Find(dot, field.Path),
        Variable variable => TemplateValues.Find(Get(variable.Name), variable.Path),
        Nested nested => TemplateValues.Find(Evaluate(nested.Pipeline, dot), nested.Path),
        Function function => _functions.Call(function.Name, []),
        _ => null,
    };

    private object? Get(string name)
    {
        for (var i = _variables.Count - 1; i >= 0; i--)
        {
            if (_variables[i].Name == name)
                return _variables[i].Value;
        }
        throw new CtlException($"template: undefined variable ${name}");
    }

    private void Set(string name, object? value, bool isDeclaration)
    {
        if (isDeclaration)
        {
            _variables.Add((name, value));
            return;
        }
        var at = _variables.FindLastIndex(v => v.Name == name);
        _variables[at >= 0 ? at : throw new CtlException($"template: undefined variable ${name}")] = (name, value);
    }
}
