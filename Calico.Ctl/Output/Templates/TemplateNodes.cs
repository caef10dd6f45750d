namespace Calico.Ctl.Output.Templates;

// Text and actions of a template, as the parser leaves them.

internal abstract record Node;

internal sealed record TextNode(string Text) : Node;

/// <summary>A pipeline whose value is printed, unless it only sets variables.</summary>
internal sealed record ActionNode(Pipeline Pipeline) : Node;

internal sealed record IfNode(Pipeline Condition, List<Node> Then, List<Node> Otherwise) : Node;

internal sealed record WithNode(Pipeline Value, List<Node> Then, List<Node> Otherwise) : Node;

internal sealed record RangeNode(Pipeline Items, List<Node> Body, List<Node> WhenEmpty) : Node;

internal sealed record BreakNode : Node;

internal sealed record ContinueNode : Node;

/// <summary>Commands, each given the value of the one before as its last argument; the value may go into variables.</summary>
internal sealed record Pipeline(List<string> Variables, bool IsDeclaration, List<List<Operand>> Commands);

internal abstract record Operand;

internal sealed record Literal(object? Value) : Operand;

/// <summary>The value that the dot stands for, and fields of it.</summary>
internal sealed record Field(List<string> Path) : Operand;

internal sealed record Variable(string Name, List<string> Path) : Operand;

internal sealed record Function(string Name) : Operand;

internal sealed record Nested(Pipeline Pipeline, List<string> Path) : Operand;
