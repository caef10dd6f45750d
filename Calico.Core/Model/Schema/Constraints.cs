using System.Diagnostics.CodeAnalysis;

namespace Calico.Core.Model.Schema;

// Limits of single fields, written on the records' properties and checked by SchemaCheck on the JSON of the object.
// They are those of Calico's CRD schemas and field validators; rules over several fields are in Validation.

/// <summary>The string (or each string of a list) is one of these.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class OneOfAttribute(params string[] values) : Attribute
{
    public string[] Values { get; } = values;
}

/// <summary>The number is one of these.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class OneOfNumbersAttribute(params int[] values) : Attribute
{
    public int[] Values { get; } = values;
}

/// <summary>The number is not below <see cref="Min"/> nor above <see cref="Max"/>.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class BetweenAttribute(long min, long max) : Attribute
{
    public long Min { get; } = min;
    public long Max { get; } = max;
}

/// <summary>The string (or each string of a list) has at most so many characters.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class MaxLengthAttribute(int length) : Attribute
{
    public int Length { get; } = length;
}

/// <summary>The list has so many entries.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ItemsAttribute(int max) : Attribute
{
    public int Min { get; init; }
    public int Max { get; } = max;

    /// <summary>The list is a set: no entry stands twice.</summary>
    public bool Unique { get; init; }

    /// <summary>
    /// An entry that stands twice is taken nevertheless, as Calico's client of etcd has always done; only Kubernetes' API
    /// server, which knows the list as a set, refuses it.
    /// </summary>
    public bool TakesDuplicates { get; init; }
}

/// <summary>The string (or each string of a list) matches a regular expression in whole.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class PatternAttribute([StringSyntax(StringSyntaxAttribute.Regex)] string pattern, string expected) : Attribute
{
    public string Pattern { get; } = pattern;

    /// <summary>What the error asks for, as in "a name such as x".</summary>
    public string Expected { get; } = expected;
}

/// <summary>The string (or each string of a list) has a format that the network model knows.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class FormatAttribute(FieldFormat format) : Attribute
{
    public FieldFormat Format { get; } = format;
}

/// <summary>The field must be there.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class RequiredFieldAttribute : Attribute;

/// <summary>The object's durations have no fraction of a millisecond: what acts on them counts no finer.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class WholeMillisecondsAttribute : Attribute;

/// <summary>The bounds <c>min</c> and <c>max</c> of the object are prefix lengths of a family.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class PrefixLengthsAttribute(int max) : Attribute
{
    public int Max { get; } = max;
}
