using System.Collections.Immutable;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;

namespace Calico.Tests.Core.Model.Validation;

/// <summary>Plays the table of fields: what is taken, and where exactly the error of what is refused stands.</summary>
[Layer("unit")]
public partial class FieldCaseTests
{
    [Fact]
    public void Each_row_is_taken_or_refused_at_its_field()
    {
        var wrong = FieldCase.All.Select(row => (Row: row, Errors: Errors(row)))
            .Where(r => !r.Row.Errors.SequenceEqual(Paths(r.Errors)))
            .Select(r => $"{r.Row.Place}: wants [{string.Join(", ", r.Row.Errors)}], got [{string.Join("; ", r.Errors.Select(e => e.ToString()))}]");

        AssertNone(wrong);
    }

    [Fact]
    public void Each_error_says_what_would_be_right()
    {
        var silent = FieldCase.All.SelectMany(row => Errors(row).Select(e => (row.Place, Error: e)))
            .Where(r => r.Error.Reason.Split(' ').Length < 2 || !r.Error.ToString().Contains(r.Error.Path, StringComparison.Ordinal))
            .Select(r => $"{r.Place}: {r.Error}");

        AssertNone(silent);
    }

    [Fact]
    public void The_table_has_good_and_bad_rows_of_every_kind()
    {
        var good = FieldCase.All.Where(r => r.Errors.Count == 0).Select(r => r.Kind).ToHashSet();
        var bad = FieldCase.All.Where(r => r.Errors.Count > 0).Select(r => r.Kind).ToHashSet();

        Assert.Empty(ResourceKind.All.Where(k => !good.Contains(k) || !bad.Contains(k)).Select(k => k.Kind));
        Assert.InRange(FieldCase.All.Count, 330, int.MaxValue);
    }

    [Fact]
    public void Each_limited_field_has_a_row_that_breaks_its_limit()
    {
        var broken = FieldCase.All.SelectMany(row => row.Errors.SelectMany(path => Steps(row.Kind, path))).ToHashSet();

        var untried = ResourceKind.All.SelectMany(k => Limited(ModelJson.TypeInfo(k), [])).Distinct()
            .Where(field => !broken.Contains(field)).Select(f => f.ToString()).Order(StringComparer.Ordinal);

        AssertNone(untried);
    }

    // All at once and in full: the table is put right in one go.
    private static void AssertNone(IEnumerable<string> found) => Assert.Equal("", string.Join('\n', found));

    private static ImmutableArray<FieldError> Errors(FieldCase row)
    {
        try
        {
            return ResourceValidator.Validate(ResourceDefaults.Apply(ResourceCodec.ParseStrict(row.Json)));
        }
        catch (InvalidResourceException e)
        {
            return e.Errors;
        }
    }

    private static IEnumerable<string> Paths(ImmutableArray<FieldError> errors) =>
        errors.Select(e => e.Path).Distinct().Order(StringComparer.Ordinal);

    // The fields of the records along a path such as spec.ingress[0].icmp.code; only the last one is where the error is.
    private static IEnumerable<Field> Steps(ResourceKind kind, string path)
    {
        var type = ModelJson.TypeInfo(kind);
        Field? last = null;
        foreach (var step in Index().Replace(path, "").Split('.'))
        {
            if (type?.Properties.FirstOrDefault(p => p.Name == step) is not { } property)
                return last is { } outer ? [outer] : [];
            last = new Field(property.DeclaringType.Name, property.Name);
            type = TypeOf(property);
        }
        return last is { } found ? [found] : [];
    }

    private static IEnumerable<Field> Limited(JsonTypeInfo type, HashSet<Type> seen)
    {
        if (!seen.Add(type.Type))
            yield break;
        foreach (var property in type.Properties)
        {
            if (property.AttributeProvider?.GetCustomAttributes(inherit: true).Any(a => a.GetType().Namespace == typeof(FieldError).Namespace) == true)
                yield return new Field(property.DeclaringType.Name, property.Name);
            if (TypeOf(property) is not { } inner)
                continue;
            foreach (var field in Limited(inner, seen))
                yield return field;
        }
    }

    private static JsonTypeInfo? TypeOf(JsonPropertyInfo property)
    {
        var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueList<>))
            type = type.GetGenericArguments()[0];
        return typeof(ModelObject).IsAssignableFrom(type) ? ModelJson.Options.GetTypeInfo(type) : null;
    }

    [GeneratedRegex(@"\[\d+\]")]
    private static partial Regex Index();

    private readonly record struct Field(string Type, string Name);
}
