using System.CommandLine;
using Calico.Core.Model;
using Calico.Core.Model.Selectors;

namespace Calico.Ctl.Commands;

/// <summary>selector: shows what a selector means, and whether labels match it.</summary>
internal static class SelectorCommand
{
    public static Command Build(CtlContext context)
    {
        var expression = new Argument<string>("SELECTOR") { Description = "The selector, in quotes." };
        var labels = new Option<string?>("--labels", "-l") { Description = "Labels to test, as key=value,key=value." };
        var command = new Command("selector", "Parse a selector; with labels exit 0 if they match and 1 if not.") { expression, labels };
        command.SetAction(async (parsed, _) =>
        {
            var text = parsed.GetValue(expression)!;
            if (!Selector.TryParse(text, out var selector, out var error))
            {
                throw new CtlException($"{error}\n  {text}\n  {new string(' ', error.Position)}^");
            }
            await context.Out.WriteLineAsync($"canonical: {selector.CanonicalText}");
            await context.Out.WriteLineAsync($"id:        {selector.Id}");
            if (parsed.GetValue(labels) is not { } given)
                return CommandLine.Success;
            var isMatch = selector.Evaluate(Labels(given));
            await context.Out.WriteLineAsync($"match:     {(isMatch ? "yes" : "no")}");
            return isMatch ? CommandLine.Success : CommandLine.Failure;
        });
        return command;
    }

    private static StringMap Labels(string text) => StringMap.From(text.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(pair =>
    {
        var split = pair.IndexOf('=', StringComparison.Ordinal);
        return split > 0
            ? KeyValuePair.Create(pair[..split], pair[(split + 1)..])
            : throw new CtlException($"label '{pair}' is not of the form key=value");
    }));
}
