using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Validation;

/// <summary>Collects errors; the field paths are built as the checks walk.</summary>
internal sealed class ErrorList
{
    private readonly ImmutableArray<FieldError>.Builder _errors = ImmutableArray.CreateBuilder<FieldError>();

    public ImmutableArray<FieldError> ToImmutable() => _errors.ToImmutable();

    public void AddRange(ImmutableArray<FieldError> errors) => _errors.AddRange(errors);

    public void Add(string path, string? value, string reason) => _errors.Add(new FieldError(path, value, reason));

    /// <summary>Adds an error without a value if the condition holds.</summary>
    public void When(bool wrong, string path, string reason)
    {
        if (wrong)
            Add(path, null, reason);
    }

    public static string Index(string path, int index) => string.Create(CultureInfo.InvariantCulture, $"{path}[{index}]");
}
